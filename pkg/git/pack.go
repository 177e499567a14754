package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage"
)

// deltaSizes is the maximum length of both sizes at the start of a delta.
const deltaSizes = 2 * binary.MaxVarintLen64

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
	var sum int64
	for range count {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := s.next(scanner, &sum); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, r) // the checksum, which go-git compares
	return err
}

// next checks the next object of a pack, and the result if it is a delta.
func (s *spool) next(scanner *packfile.Scanner, sum *int64) error {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return fmt.Errorf("reading the pack that the server sent: %w", err)
	}
	if err := s.within(sum, uint64(header.Length)); err != nil {
		return err
	}
	var start prefix
	if _, _, err := scanner.NextObject(&start); err != nil {
		return fmt.Errorf("reading the pack that the server sent: %w", err)
	}
	if !header.Type.IsDelta() {
		return nil
	}
	sizes := bytes.NewReader(start)
	_, _ = binary.ReadUvarint(sizes) // of the base, which go-git compares
	result, err := binary.ReadUvarint(sizes)
	if err != nil {
		return fmt.Errorf("reading the pack that the server sent: size of a delta: %w", err)
	}
	return s.within(sum, result)
}

// within adds the size of an object to the sum. It compares both with the limits.
func (s *spool) within(sum *int64, n uint64) error {
	if n > uint64(s.Object) {
		return fmt.Errorf("the server sent an object of more than %s", size(s.Object))
	}
	if *sum += int64(n); *sum > s.Inflated {
		return fmt.Errorf("the server sent more than %s of commits and files after decompression", size(s.Inflated))
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
