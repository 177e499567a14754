package promote

import (
	"context"
	"sync"
)

// memo runs a function once for each key and keeps what it returns; who comes later
// waits for that.
type memo[K comparable, V any] struct {
	mu  sync.Mutex
	all map[K]*flight[V]
}

type flight[V any] struct {
	done  chan struct{}
	value V
}

// do returns an error only if it was another's turn, and ctx ended before it came back.
func (m *memo[K, V]) do(ctx context.Context, key K, run func() V) (V, error) {
	m.mu.Lock()
	if m.all == nil {
		m.all = map[K]*flight[V]{}
	}
	at, ok := m.all[key]
	if !ok {
		at = &flight[V]{done: make(chan struct{})}
		m.all[key] = at
	}
	m.mu.Unlock()
	if !ok {
		at.value = run()
		close(at.done)
		return at.value, nil
	}
	select {
	case <-at.done:
		return at.value, nil
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// locks are mutexes by key.
type locks[K comparable] struct {
	mu  sync.Mutex
	all map[K]*sync.Mutex
}

// lock locks the mutex of a key, and returns its Unlock.
func (l *locks[K]) lock(key K) (unlock func()) {
	l.mu.Lock()
	if l.all == nil {
		l.all = map[K]*sync.Mutex{}
	}
	one := l.all[key]
	if one == nil {
		one = &sync.Mutex{}
		l.all[key] = one
	}
	l.mu.Unlock()
	one.Lock()
	return one.Unlock
}

// set keeps a value for a key in place of what was kept.
func (m *memo[K, V]) set(key K, value V) {
	at := &flight[V]{done: make(chan struct{}), value: value}
	close(at.done)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[key] = at
}

// forget makes the next call for a key run its function.
func (m *memo[K, V]) forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}

// flights is a memo of what is done for its effect. A failure is forgotten, so that
// the next to come tries again: it may have been the first one's own trouble.
type flights[K comparable] struct{ memo[K, error] }

func (f *flights[K]) do(ctx context.Context, key K, run func() error) error {
	done, err := f.memo.do(ctx, key, func() error {
		err := run()
		if err != nil {
			f.forget(key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return done
}
