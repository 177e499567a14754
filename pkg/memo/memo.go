// Package memo runs a function once for each key and shares the result.
//
// It is a package because pkg/promote shares reads with it and pkg/transfer shares
// writes. It knows neither.
package memo

import (
	"context"
	"sync"
)

// Map holds the result of a function for each key. The zero value is empty. It is
// safe for concurrent use.
type Map[K comparable, V any] struct {
	mu  sync.Mutex
	all map[K]*result[V]
}

type result[V any] struct {
	done  chan struct{} // closed when value is set
	value V
}

// Do runs f at most once per key; other callers wait for its result. The error is
// ctx's, and only callers that wait get it.
func (m *Map[K, V]) Do(ctx context.Context, key K, f func() V) (V, error) {
	m.mu.Lock()
	if m.all == nil {
		m.all = map[K]*result[V]{}
	}
	r, ok := m.all[key]
	if !ok {
		r = &result[V]{done: make(chan struct{})}
		m.all[key] = r
	}
	m.mu.Unlock()
	if !ok {
		r.value = f()
		close(r.done)
		return r.value, nil
	}
	select {
	case <-r.done:
		return r.value, nil
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// Set replaces the result of a key.
func (m *Map[K, V]) Set(key K, value V) {
	r := &result[V]{done: make(chan struct{}), value: value}
	close(r.done)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[K]*result[V]{}
	}
	m.all[key] = r
}

// Forget removes a key. The next Do for it runs its function.
func (m *Map[K, V]) Forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}

// Tasks runs functions that return only an error. A success is kept. After a failure
// the next caller runs its own function: the failure may concern the first caller only.
type Tasks[K comparable] struct{ results Map[K, error] }

// Do runs f unless an earlier function of the key has succeeded.
func (t *Tasks[K]) Do(ctx context.Context, key K, f func() error) error {
	done, err := t.results.Do(ctx, key, func() error {
		err := f()
		if err != nil {
			t.results.Forget(key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return done
}

// Forget removes a key. The next Do for it runs its function.
func (t *Tasks[K]) Forget(key K) { t.results.Forget(key) }
