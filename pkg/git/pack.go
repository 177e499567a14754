package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage"
)

const (
	deltaSizes = 2 * binary.MaxVarintLen64 // bytes at the start of a delta that have the sizes of its base and result
	smallBase  = 64 << 10                  // bytes of an object, not a delta, that is not recorded, to save memory
)

// checked is a copy that stores a pack only after a check.
//
// go-git allocates the memory that a pack asks for. The server writes the pack.
type checked struct {
	storage.Storer
	ctx context.Context // of the fetch
	*watch
	dir string // of the copy; "": in memory
}

// PackfileWriter implements storer.PackfileWriter.
func (c checked) PackfileWriter() (io.WriteCloser, error) {
	c.packing.Store(true)
	dir := ""
	if c.dir != "" { // a directory for temporary files may be in memory
		dir = filepath.Join(c.dir, "objects", "pack")
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(dir, "tmp_pack_")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // nothing is left if the process is killed
	r, w := io.Pipe()
	s := &spool{checked: c, f: f, check: w, result: make(chan error, 1)}
	go func() {
		err := s.scan(r)
		_ = r.CloseWithError(err) // the next Write returns the error
		s.result <- err
	}()
	return s, nil
}

// spool is a pack that is being received. It is checked at the same time.
type spool struct {
	checked
	f      *os.File
	size   int64
	check  *io.PipeWriter
	result chan error // of the check
	failed bool       // Write returned an error
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (n int, err error) {
	defer func() { s.failed = err != nil }()
	if s.size += int64(len(p)); s.size > s.Pack {
		return 0, fmt.Errorf("the server sent more than %s of commits and files", size(s.Pack))
	}
	if n, err := s.check.Write(p); err != nil {
		return n, err
	}
	return s.f.Write(p)
}

// Close implements io.Closer. It stores the pack.
func (s *spool) Close() error {
	defer s.f.Close()
	_ = s.check.Close() // never fails
	err := <-s.result
	if s.failed || s.size == 0 {
		return nil // go-git has an error already
	}
	if err != nil {
		return err
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return packfile.UpdateObjectStorage(s.Storer, s.f)
}

// scan returns an error if a pack would need too much memory or time.
//
// An object is inflated no further than its header says.
func (s *spool) scan(r io.Reader) error {
	scanner := packfile.NewScanner(r)
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("reading the pack that the server sent: %w", err)
	}
	if int64(count) > s.Objects {
		return fmt.Errorf("the server sent a pack of %d objects, more than %d", count, s.Objects)
	}
	use := usage{Limits: s.Limits, chains: map[int64]int64{}}
	for range count {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := use.next(scanner); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, r) // the checksum, which go-git compares
	return err
}

// usage is what the objects of a pack need after decompression, in bytes.
type usage struct {
	Limits
	sum    int64           // of all objects and deltas
	byName int64           // of the deltas that name their base by its id
	chains map[int64]int64 // of an object and all of its bases, by its offset; without small objects
}

// next adds the next object of a pack, and the result if it is a delta.
func (u *usage) next(scanner *packfile.Scanner) error {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return fmt.Errorf("reading the pack that the server sent: %w", err)
	}
	if err := u.add(uint64(header.Length)); err != nil {
		return err
	}
	var start prefix
	if _, _, err := scanner.NextObject(&start); err != nil {
		return fmt.Errorf("reading the pack that the server sent: %w", err)
	}
	chain := header.Length
	if header.Type.IsDelta() {
		sizes := bytes.NewReader(start)
		_, _ = binary.ReadUvarint(sizes) // of the base, which go-git compares
		result, err := binary.ReadUvarint(sizes)
		if err != nil {
			return fmt.Errorf("reading the pack that the server sent: size of a delta: %w", err)
		}
		if err := u.add(result); err != nil {
			return err
		}
		chain += int64(result) + u.chains[header.OffsetReference]
	}
	if header.Type == plumbing.REFDeltaObject { // it may have all others as bases; servers rarely send it
		u.byName += chain
		chain = u.byName
	}
	// go-git may keep a whole chain in memory.
	if chain > u.Chain {
		return fmt.Errorf("the server sent an object that needs more than %s together with those that it is a change of", size(u.Chain))
	}
	if chain >= smallBase || header.Type.IsDelta() {
		u.chains[header.Offset] = chain
	}
	return nil
}

// add adds the size of an object. It compares it with the limits.
func (u *usage) add(n uint64) error {
	if n > uint64(u.Object) {
		return fmt.Errorf("the server sent an object of more than %s", size(u.Object))
	}
	if u.sum += int64(n); u.sum > u.Inflated {
		return fmt.Errorf("the server sent more than %s of commits and files after decompression", size(u.Inflated))
	}
	return nil
}

// prefix keeps the first bytes that are written to it.
type prefix []byte

// Write implements io.Writer.
func (p *prefix) Write(b []byte) (int, error) {
	*p = append(*p, b[:min(len(b), deltaSizes-len(*p))]...)
	return len(b), nil
}

// size returns a size for messages.
func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
