package promote

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/semaphore"
)

const (
	largeBlob   = 4 << 20 // bytes from which a blob is large: it holds its requests for long…
	largeAtOnce = 4       // …so few of them are read from, or sent to, one host at once, and small ones pass by
)

// lanes keep large blobs from taking every request a host may have.
type lanes struct {
	mu  sync.Mutex
	all map[lane]*semaphore.Weighted
}

// lane is one direction of one host.
type lane struct {
	host  string
	write bool
}

// pass waits until a blob may be read from or written to a host. The caller calls
// done when it has been; it is nil after an error.
func (l *lanes) pass(ctx context.Context, at lane, d v1.Descriptor) (done func(), err error) {
	if d.Size < largeBlob {
		return func() {}, nil
	}
	l.mu.Lock()
	if l.all == nil {
		l.all = map[lane]*semaphore.Weighted{}
	}
	sem := l.all[at]
	if sem == nil {
		sem = semaphore.NewWeighted(largeAtOnce)
		l.all[at] = sem
	}
	l.mu.Unlock()
	if err := sem.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { sem.Release(1) }, nil
}
