// Package memo keeps a value for each key, such as the result of a function that runs once.
//
// It is a package because pkg/promote shares reads with it, pkg/transfer shares writes,
// and pkg/registry keeps what hosts have answered. It knows none of these.
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
	done    chan struct{} // closed when the function has returned
	value   V
	err     error
	stopped bool // err may be that the context of the caller ended
}

// Do runs f at most once per key, and keeps its value and error; other callers wait for
// them. If f fails after its caller's context has ended, the next caller runs its own f.
// A caller whose context ends while it waits gets the error of ctx.
func (m *Map[K, V]) Do(ctx context.Context, key K, f func() (V, error)) (V, error) {
	for {
		r, began := m.begin(key)
		if !began {
			r.value, r.err = f()
			if r.stopped = r.err != nil && ctx.Err() != nil; r.stopped {
				m.forget(key, r)
			}
			close(r.done)
			return r.value, r.err
		}
		select {
		case <-r.done:
			if !r.stopped || ctx.Err() != nil {
				return r.value, r.err
			}
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
}

// Get returns the value of a key. It waits for a function that has begun, and returns false
// if none has, if it fails, or if the context ends.
func (m *Map[K, V]) Get(ctx context.Context, key K) (value V, ok bool) {
	m.mu.Lock()
	r, began := m.all[key]
	m.mu.Unlock()
	if !began {
		return value, false
	}
	select {
	case <-r.done:
		return r.value, r.err == nil
	case <-ctx.Done():
		return value, false
	}
}

// begin returns the result of a key, and whether another caller has begun it.
func (m *Map[K, V]) begin(key K) (r *result[V], began bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, began = m.all[key]; !began {
		r = &result[V]{done: make(chan struct{})}
		m.set(key, r)
	}
	return r, began
}

// set sets the result of a key. The caller holds mu.
func (m *Map[K, V]) set(key K, r *result[V]) {
	if m.all == nil {
		m.all = map[K]*result[V]{}
	}
	m.all[key] = r
}

// forget removes a result, unless the key has another one by now.
func (m *Map[K, V]) forget(key K, r *result[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all[key] == r {
		delete(m.all, key)
	}
}

// Set replaces the result of a key.
func (m *Map[K, V]) Set(key K, value V) {
	r := &result[V]{done: make(chan struct{}), value: value}
	close(r.done)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(key, r)
}

// Forget removes a key. The next Do for it runs its function.
func (m *Map[K, V]) Forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
}

// Values holds a value for each key. The zero value is empty. It is safe for concurrent
// use; the values guard themselves.
type Values[K comparable, V any] struct {
	mu  sync.Mutex
	all map[K]*V
}

// Of returns the value of a key. It is zero at first.
func (v *Values[K, V]) Of(key K) *V {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, ok := v.all[key]
	if !ok {
		value = new(V)
		if v.all == nil {
			v.all = map[K]*V{}
		}
		v.all[key] = value
	}
	return value
}

// Tasks runs functions that return only an error. A success is kept. After a failure
// the next caller runs its own function: the failure may concern the first caller only.
type Tasks[K comparable] struct{ results Map[K, struct{}] }

// Do runs f unless an earlier function of the key has succeeded.
func (t *Tasks[K]) Do(ctx context.Context, key K, f func() error) error {
	_, err := t.results.Do(ctx, key, func() (none struct{}, err error) {
		if err = f(); err != nil {
			t.results.Forget(key)
		}
		return none, err
	})
	return err
}

// Forget removes a key. The next Do for it runs its function.
func (t *Tasks[K]) Forget(key K) { t.results.Forget(key) }
