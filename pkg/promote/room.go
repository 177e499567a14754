package promote

import (
	"context"
	"fmt"
	"os"
	"sync"
)

const (
	mostBlob  = 256 << 30 // bytes of a blob that passes through: more than any registry is known to take
	leftShare = 20        // of the file system for temporary files, this part is left free…
	leftMost  = 1 << 30   // …up to this many bytes
)

// room sees to it that blobs on their way do not fill the file system that they wait on:
// others need it as well.
type room struct {
	space func(dir string) (free, total int64, err error)

	mu     sync.Mutex
	spools map[*spool]int64 // in files, with the size that each will have
	closed chan struct{}    // closed when one of them is
}

// spool returns an empty spool for a blob once there is room for all of it.
func (r *room) spool(ctx context.Context, size int64) (*spool, error) {
	if size > mostBlob {
		return nil, fmt.Errorf("it has %d bytes: more than %d are refused", size, int64(mostBlob))
	}
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

// free closes a spool, and wakes those who wait for room.
func (r *room) free(s *spool) {
	s.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.spools[s]; ok {
		delete(r.spools, s)
		close(r.closed)
		r.closed = make(chan struct{})
	}
}

func newRoom() *room {
	return &room{space: space, spools: map[*spool]int64{}, closed: make(chan struct{})}
}
