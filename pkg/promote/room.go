package promote

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// spooledBytes is how many bytes of blobs are between source and destinations at once, on disk.
const spooledBytes = 4 << 30

// room is what blobs that are on their way may take up.
type room struct {
	bytes *semaphore.Weighted
	files *semaphore.Weighted // nil: no bound
}

// newRoom returns the room with a bound on files; 0 means that there is none.
func newRoom(files int) room {
	r := room{bytes: semaphore.NewWeighted(spooledBytes)}
	if files > 0 {
		r.files = semaphore.NewWeighted(int64(files))
	}
	return r
}

// reserve waits for room for a blob of size bytes, and for a file if it needs one.
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

// free gives back what reserve took.
func (r *room) free(size int64) {
	r.bytes.Release(min(size, spooledBytes))
	if r.inFile(size) {
		r.files.Release(1)
	}
}

// inFile reports whether a blob takes one of a bounded number of files.
func (r *room) inFile(size int64) bool { return r.files != nil && size > spoolMemory }
