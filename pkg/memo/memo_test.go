package memo_test

import (
	"context"
	"errors"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
)

func TestValues(t *testing.T) {
	t.Parallel()
	var v memo.Values[string, int]
	*v.Of("a") = 1
	if a, b := *v.Of("a"), *v.Of("b"); a != 1 || b != 0 {
		t.Errorf("got %d and %d, want 1 and 0", a, b)
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	var m memo.Map[string, int]
	calls := 0
	f := func() (int, error) { calls++; return calls, nil }
	for range 2 {
		if got, err := m.Do(t.Context(), "a", f); got != 1 || err != nil {
			t.Errorf("got %d (%v), want 1", got, err)
		}
	}
	m.Forget("a")
	if got, _ := m.Do(t.Context(), "a", f); got != 2 {
		t.Errorf("got %d after Forget, want 2", got)
	}
	m.Set("a", 7)
	if got, _ := m.Do(t.Context(), "a", f); got != 7 {
		t.Errorf("got %d after Set, want 7", got)
	}
}

// A caller that waits for another one gets the error of its own context.
func TestMapEndsAWait(t *testing.T) {
	t.Parallel()
	var m memo.Map[string, int]
	begun, release := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = m.Do(context.Background(), "a", func() (int, error) { close(begun); <-release; return 1, nil })
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Do(ctx, "a", func() (int, error) { return 2, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	close(release)
}

// An error is kept, unless it may be that the context of the caller has ended.
func TestMapKeepsErrors(t *testing.T) {
	t.Parallel()
	var m memo.Map[string, int]
	failing := errors.New("failing")
	calls := 0
	f := func() (int, error) { calls++; return calls, failing }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i, tc := range []struct {
		ctx  context.Context
		want int
	}{{ended, 1}, {t.Context(), 2}, {t.Context(), 2}} {
		if got, err := m.Do(tc.ctx, "a", f); got != tc.want || !errors.Is(err, failing) {
			t.Errorf("call %d: got %d (%v), want %d (%v)", i, got, err, tc.want, failing)
		}
	}
}

// A caller that waits for one whose context ends runs its own function.
func TestMapStartsAgain(t *testing.T) {
	t.Parallel()
	var m memo.Map[string, int]
	begun, waiting := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = m.Do(ctx, "a", func() (int, error) {
			close(begun)
			<-waiting
			cancel()
			return 0, ctx.Err()
		})
	}()
	<-begun
	close(waiting)
	if got, err := m.Do(t.Context(), "a", func() (int, error) { return 2, nil }); got != 2 || err != nil {
		t.Errorf("got %d (%v), want 2", got, err)
	}
}

// Get waits for a function that has begun, and begins none.
func TestMapGet(t *testing.T) {
	t.Parallel()
	var m memo.Map[string, int]
	if got, ok := m.Get(t.Context(), "a"); ok {
		t.Errorf("before Do: got %d, want no value", got)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = m.Do(context.Background(), "a", func() (int, error) { close(begun); <-release; return 1, nil })
	}()
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, ok := m.Get(ended, "a"); ok {
		t.Errorf("with a context that ended: got %d, want no value", got)
	}
	close(release)
	if got, ok := m.Get(t.Context(), "a"); !ok || got != 1 {
		t.Errorf("got %d, %t, want 1, true", got, ok)
	}
	_, _ = m.Do(t.Context(), "b", func() (int, error) { return 2, errors.New("failing") })
	if got, ok := m.Get(t.Context(), "b"); ok {
		t.Errorf("after a failure: got %d, want no value", got)
	}
}

func TestTasksKeepsSuccesses(t *testing.T) {
	t.Parallel()
	var tasks memo.Tasks[string]
	calls := 0
	failing := errors.New("failing")
	for _, err := range []error{failing, nil, failing} {
		want := err
		if calls == 2 { // the success is kept
			want = nil
		}
		if got := tasks.Do(t.Context(), "a", func() error { calls++; return err }); !errors.Is(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if calls != 2 {
		t.Errorf("got %d calls, want 2", calls)
	}
}
