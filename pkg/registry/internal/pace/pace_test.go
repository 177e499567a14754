package pace_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// load sends n requests that take d each.
//
// It returns the total time and the maximum number of requests in flight.
func load(t *testing.T, h *pace.Host, n int, d time.Duration) (took time.Duration, peak int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	inFlight := 0
	began := time.Now()
	for range n {
		wg.Go(func() {
			s, err := h.Acquire(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inFlight++
			peak = max(peak, inFlight)
			mu.Unlock()
			time.Sleep(d) // the bubble's clock
			mu.Lock()
			inFlight--
			mu.Unlock()
			s.Answered()
			s.Done()
		})
	}
	wg.Wait()
	return time.Since(began), peak
}

func TestThreadsLimitRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, peak := load(t, pace.New(pace.Options{Threads: 4}), 100, 20*time.Millisecond)
		if peak != 4 || took != 500*time.Millisecond {
			t.Errorf("got %d in flight and %v, want 4 and 500ms", peak, took)
		}
	})
}

func TestGrowsWhileResponsesAreFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, peak := load(t, pace.New(pace.Options{}), 2000, 20*time.Millisecond)
		if peak != 100 || took > 1250*time.Millisecond {
			t.Errorf("got %d in flight and %v, want 100 and at most 1.25s", peak, took)
		}
	})
}

func TestQPSSpreadsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, _ := load(t, pace.New(pace.Options{QPS: 50}), 101, time.Millisecond)
		if took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("got %v, want 2s", took)
		}
	})
}

func TestRefusalsPauseEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pace.New(pace.Options{Threads: 8})
		var slots []*pace.Slot
		for range 8 {
			s, err := h.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slots = append(slots, s)
		}
		time.Sleep(10 * time.Millisecond)
		for _, s := range slots { // the refusals of one burst count once
			s.Throttled(3 * time.Second)
			s.Done()
		}
		began := time.Now()
		s, err := h.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Done()
		if waited := time.Since(began); waited < 3*time.Second || waited > 3100*time.Millisecond {
			t.Errorf("got a wait of %v, want the pause of 3s", waited)
		}
	})
}

// A refusal that does not show a limit pauses the run, but does not slow it down.
func TestSingleRefusalsOnlyPause(t *testing.T) {
	for name, refuse := range map[string]func(n int) bool{
		"the first request":      func(n int) bool { return n == 1 },
		"the first requests":     func(n int) bool { return n <= 10 },
		"one in the middle":      func(n int) bool { return n == 300 },
		"one now and then":       func(n int) bool { return n%500 == 7 },
		"one soon after another": func(n int) bool { return n == 100 || n == 120 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := pace.New(pace.Options{})
				var asked atomic.Int64
				var pauses atomic.Int64
				var wg sync.WaitGroup
				began := time.Now()
				for range 2000 {
					wg.Go(func() {
						for refused := true; refused; {
							s, err := h.Acquire(t.Context())
							if err != nil {
								t.Error(err)
								return
							}
							refused = refuse(int(asked.Add(1)))
							time.Sleep(20 * time.Millisecond)
							if refused {
								pauses.Add(1)
								s.Throttled(time.Second)
							} else {
								s.Answered()
							}
							s.Done()
						}
					})
				}
				wg.Wait()
				if took, most := time.Since(began), time.Duration(pauses.Load())*time.Second+5*time.Second; took > most {
					t.Errorf("got %v with %d refusals, want at most %v", took, pauses.Load(), most)
				}
			})
		})
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pace.New(pace.Options{Threads: 1})
		held, err := h.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Acquire(ctx); err == nil {
			t.Fatal("got a second slot, want the error of the context")
		}
		held.Done()
		held.Done() // does nothing
		s, err := h.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Acquire(ctx); err == nil {
			t.Error("got a second slot, want the error of the context")
		}
		s.Done()
	})
}

func TestDelay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	h := func(kv ...string) http.Header {
		header := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			header.Set(kv[i], kv[i+1])
		}
		return header
	}
	for name, tc := range map[string]struct {
		header http.Header
		body   string
		want   time.Duration
		said   bool
	}{
		"nothing":                    {h(), "too many", 0, false},
		"seconds":                    {h("Retry-After", "30"), "", 30 * time.Second, true},
		"fractions of seconds":       {h("Retry-After", "0.5"), "", time.Second / 2, true},
		"a date":                     {h("Retry-After", "Sat, 21 Nov 2026 12:00:10 GMT"), "", 10 * time.Second, true},
		"a date, with a wrong clock": {h("Retry-After", "Fri, 20 Nov 2026 00:00:07 GMT", "Date", "Fri, 20 Nov 2026 00:00:00 GMT"), "", 7 * time.Second, true},
		"a date in the past":         {h("Retry-After", "Sat, 21 Nov 2026 11:00:00 GMT"), "", 0, true},
		"GHCR's body":                {h(), "toomanyrequests: retry-after: 880.092us, allowed: 44000/minute", 880092 * time.Nanosecond, true},
		"GHCR's body, in minutes":    {h(), "retry-after: 2m", 2 * time.Minute, true},
		"reset in seconds":           {h("Ratelimit-Reset", "12"), "", 12 * time.Second, true},
		"reset as a time":            {h("X-Ratelimit-Reset", "1795262405"), "", 5 * time.Second, true},
		"a day at most":              {h("Retry-After", "99999999999999999999"), "", 24 * time.Hour, true},
		"nonsense":                   {h("Retry-After", "soon", "Ratelimit-Reset", "NaN"), "retry-after: x", 0, false},
		"negative":                   {h("Retry-After", "-5"), "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, said := pace.Delay(tc.header, tc.body, now)
			if got != tc.want || said != tc.said {
				t.Errorf("got %v, %t; want %v, %t", got, said, tc.want, tc.said)
			}
		})
	}
}

func FuzzDelay(f *testing.F) {
	f.Add("30", "", "")
	f.Add("Sat, 21 Nov 2026 12:00:10 GMT", "12;w=60", "retry-after: 880.092us")
	f.Fuzz(func(t *testing.T, after, reset, body string) {
		d, said := pace.Delay(http.Header{"Retry-After": {after}, "Ratelimit-Reset": {reset}}, body, time.Unix(0, 0))
		if d < 0 || d > 24*time.Hour || !said && d != 0 {
			t.Errorf("Retry-After %q, Ratelimit-Reset %q, body %q: got %v, %t; want 0 to 24h, and 0 if false", after, reset, body, d, said)
		}
	})
}
