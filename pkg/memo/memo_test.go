package memo_test

import (
	"context"
	"errors"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
)

func TestMap(t *testing.T) {
	t.Parallel()
	var m memo.Map[string, int]
	calls := 0
	f := func() int { calls++; return calls }
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
		_, _ = m.Do(context.Background(), "a", func() int { close(begun); <-release; return 1 })
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Do(ctx, "a", func() int { return 2 }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	close(release)
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
