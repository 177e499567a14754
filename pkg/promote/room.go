package promote

import (
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	spooledBytes = 4 << 30   // of blobs that are between source and destinations at once, on disk
	mostBlob     = 256 << 30 // bytes of a blob that passes through: more than any registry is known to take
	leftShare    = 20        // of the file system for temporary files, this part is left free…
	leftMost     = 1 << 30   // …up to this many bytes
)

// room is the space that blobs may take on their way. It makes sure that they fill
// neither the file system for temporary files, which others need as well, nor the
// number of files that the process may have open.
type room struct {
	space func(dir string) (free, total int64, err error)
	bytes *semaphore.Weighted
	files *semaphore.Weighted // nil: no bound

	mu     sync.Mutex
	spools map[*spool]int64 // in files, with the size that each will have
	closed chan struct{}    // closed when one of them is
}

// newRoom returns a room with a bound on files; 0 means that there is none.
func newRoom(files int) *room {
	r := &room{
		space: space, bytes: semaphore.NewWeighted(spooledBytes), spools: map[*spool]int64{}, closed: make(chan struct{}),
	}
	if files > 0 {
		r.files = semaphore.NewWeighted(int64(files))
	}
	return r
}

// spool returns an empty spool for a blob once there is room for all of it. The
// caller calls free.
func (r *room) spool(ctx context.Context, size int64) (*spool, error) {
	if size > mostBlob {
		return nil, fmt.Errorf("it has %d bytes: more than %d are refused", size, int64(mostBlob))
	}
	if err := r.reserve(ctx, size); err != nil {
		return nil, err
	}
	s, err := r.onDisk(ctx, size)
	if err != nil {
		r.release(size)
	}
	return s, err
}

// free closes a spool, and wakes those who wait for room.
func (r *room) free(s *spool, size int64) {
	s.close()
	r.release(size)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.spools[s]; ok {
		delete(r.spools, s)
		close(r.closed)
		r.closed = make(chan struct{})
	}
}

// reserve waits for a blob's share of the bytes, and for a file if it needs one.
func (r *room) reserve(ctx context.Context, size int64) error {
	if r.inFile(size) {
		if err := r.files.Acquire(ctx, 1); err != nil {
			return err
		}
	}
	err := r.bytes.Acquire(ctx, min(size, spooledBytes))
	if err != nil && r.inFile(size) {
		r.files.Release(1)
	}
	return err
}

// release gives back what reserve took.
func (r *room) release(size int64) {
	r.bytes.Release(min(size, spooledBytes))
	if r.inFile(size) {
		r.files.Release(1)
	}
}

// inFile reports whether a blob takes one of a bounded number of files.
func (r *room) inFile(size int64) bool { return r.files != nil && size > spoolMemory }

// onDisk returns a spool once the file system has room for it.
func (r *room) onDisk(ctx context.Context, size int64) (*spool, error) {
	if size <= spoolMemory {
		return newSpool(size)
	}
	for {
		s, wait, err := r.try(size)
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

// try returns a spool, or what to wait for until there may be room for one.
func (r *room) try(size int64) (s *spool, wait <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	dir := os.TempDir()
	free, total, err := r.space(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for room in %s (TMPDIR says where): %w", dir, err)
	}
	left := min(total/leftShare, leftMost)
	usable := free - left
	for s, whole := range r.spools {
		usable -= whole - s.length()
	}
	switch {
	case size <= usable:
	case len(r.spools) > 0:
		return nil, r.closed, nil
	default:
		return nil, nil, fmt.Errorf("it has %d bytes, and %s (TMPDIR says where) has room for %d: %d more are left to others", size, dir, max(0, usable), left)
	}
	if s, err = newSpool(size); err != nil {
		return nil, nil, err
	}
	r.spools[s] = size
	return s, nil, nil
}
