package transfer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	maxMemory  = 2 << 20   // bytes of small blobs in memory at a time: the others are in files, too
	maxSpooled = 4 << 30   // bytes of blobs between source and destinations at a time
	maxBlob    = 256 << 30 // bytes of one blob: more than any known registry accepts
	freeShare  = 20        // one part in freeShare of the file system is left free…
	maxFree    = 1 << 30   // …but at most this many bytes
)

// disk limits the temporary files of blobs. They must not fill the file system, which
// other processes use too, or use up the files that the process may open.
type disk struct {
	space  func(dir string) (free, total int64, err error)
	memory *semaphore.Weighted
	bytes  *semaphore.Weighted
	files  *semaphore.Weighted

	mu     sync.Mutex
	spools map[*spool]int64 // in files, with their final size
	closed chan struct{}    // closed when one of the spools is
}

// newDisk returns a disk that may use a number of files; 0 is no limit.
func newDisk(files int) *disk {
	return &disk{
		space: space, memory: semaphore.NewWeighted(maxMemory), bytes: semaphore.NewWeighted(maxSpooled),
		files:  semaphore.NewWeighted(cmp.Or(int64(files), math.MaxInt64)),
		spools: map[*spool]int64{}, closed: make(chan struct{}),
	}
}

// spool waits until there is space for a blob of a size, and returns an empty spool.
// The caller must free it.
func (d *disk) spool(ctx context.Context, size int64) (*spool, error) {
	if size > maxBlob {
		return nil, fmt.Errorf("it has %d bytes: more than %d are refused", size, int64(maxBlob))
	}
	small := size <= spoolMemory
	if small && d.memory.TryAcquire(size) {
		return newSpool(size), nil
	}
	s, err := d.inFile(ctx, size)
	if err != nil && small { // there is no space for it, or ctx has ended
		if err = d.memory.Acquire(ctx, size); err == nil {
			s = newSpool(size)
		}
	}
	return s, err
}

// inFile returns an empty spool in a file.
func (d *disk) inFile(ctx context.Context, size int64) (*spool, error) {
	if err := d.reserve(ctx, size); err != nil {
		return nil, err
	}
	s, err := d.onDisk(ctx, size)
	if err != nil {
		d.release(size)
	}
	return s, err
}

// free closes a spool and gives back its space.
func (d *disk) free(s *spool, size int64) {
	if s.file == nil {
		d.memory.Release(size)
		return
	}
	_ = s.file.Close() // it was removed when it was created
	d.release(size)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.spools, s)
	close(d.closed)
	d.closed = make(chan struct{})
}

// reserve waits until a blob's bytes and its file are within the limits.
func (d *disk) reserve(ctx context.Context, size int64) error {
	if err := d.files.Acquire(ctx, 1); err != nil {
		return err
	}
	err := d.bytes.Acquire(ctx, min(size, maxSpooled))
	if err != nil {
		d.files.Release(1)
	}
	return err
}

// release undoes reserve.
func (d *disk) release(size int64) {
	d.bytes.Release(min(size, maxSpooled))
	d.files.Release(1)
}

// onDisk waits until the file system has space for a blob, and returns a spool.
func (d *disk) onDisk(ctx context.Context, size int64) (*spool, error) {
	for {
		s, wait, err := d.try(size)
		if s != nil || err != nil {
			return s, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try returns a spool, or a channel that is closed when another try may succeed.
func (d *disk) try(size int64) (s *spool, wait <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := os.TempDir()
	free, total, err := d.space(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for room in %s (TMPDIR says where): %w", dir, err)
	}
	left := min(total/freeShare, maxFree)
	usable := free - left
	for s, whole := range d.spools {
		usable -= whole - s.length()
	}
	switch {
	case size <= usable:
	case len(d.spools) > 0:
		return nil, d.closed, nil
	default:
		return nil, nil, fmt.Errorf("it has %d bytes, and %s (TMPDIR says where) has room for %d: %d more are left to others", size, dir, max(0, usable), left)
	}
	if s, err = newFileSpool(); err != nil {
		return nil, nil, err
	}
	d.spools[s] = size
	return s, nil, nil
}
