package transfer

import (
	"context"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/semaphore"
)

const (
	largeBlob = 4 << 20 // bytes: a blob of at least this size occupies a request for a long time…
	maxLarge  = 4       // …so at most this many are read from, or sent to, one host at a time
)

// lanes limit the large blobs in flight, so that small ones can pass.
type lanes struct {
	mu  sync.Mutex
	all map[lane]*semaphore.Weighted
}

// lane is one direction of one host.
type lane struct {
	host  string
	write bool
}

// enter waits until a blob may be read from or sent to a host. The caller calls done
// at the end; done is nil after an error.
func (l *lanes) enter(ctx context.Context, at lane, d v1.Descriptor) (done func(), err error) {
	if d.Size < largeBlob {
		return func() {}, nil
	}
	l.mu.Lock()
	if l.all == nil {
		l.all = map[lane]*semaphore.Weighted{}
	}
	sem := l.all[at]
	if sem == nil {
		sem = semaphore.NewWeighted(maxLarge)
		l.all[at] = sem
	}
	l.mu.Unlock()
	if err := sem.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { sem.Release(1) }, nil
}
