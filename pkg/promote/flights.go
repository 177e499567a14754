package promote

import (
	"context"
	"sync"
)

// flights runs a function once for each key; who comes later waits for the
// outcome. A failure is forgotten, so that the next to come tries again: it may
// have been the first one's own trouble.
type flights[K comparable] struct {
	mu  sync.Mutex
	all map[K]*flight
}

type flight struct {
	done chan struct{}
	err  error
}

func (f *flights[K]) do(ctx context.Context, key K, run func() error) error {
	f.mu.Lock()
	if f.all == nil {
		f.all = map[K]*flight{}
	}
	at, ok := f.all[key]
	if !ok {
		at = &flight{done: make(chan struct{})}
		f.all[key] = at
	}
	f.mu.Unlock()
	if !ok {
		if at.err = run(); at.err != nil {
			f.forget(key)
		}
		close(at.done)
		return at.err
	}
	select {
	case <-at.done:
		return at.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *flights[K]) forget(key K) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, key)
}
