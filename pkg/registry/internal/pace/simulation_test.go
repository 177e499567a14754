package pace_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// quota is a host with a limit on requests per second: a token bucket.
type quota struct {
	mu       sync.Mutex
	perSec   float64
	capacity float64
	tokens   float64
	last     time.Time
}

func newQuota(perSec, capacity float64) *quota {
	return &quota{perSec: perSec, capacity: capacity, tokens: capacity}
}

func (q *quota) take() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if !q.last.IsZero() {
		q.tokens = min(q.capacity, q.tokens+now.Sub(q.last).Seconds()*q.perSec)
	}
	q.last = now
	if q.tokens < 1 {
		return false
	}
	q.tokens--
	return true
}

// simulation is a run of requests to one host, in the time of a synctest bubble.
type simulation struct {
	requests int
	latency  time.Duration
	accept   func(n int) bool // whether the host accepts its nth request
	until    int              // requests in flight
	connect  time.Duration    // the time that a new connection takes

	mu      sync.Mutex
	asked   int
	refused int
	flying  int
	idle    int           // connections
	reached time.Duration // when until requests were in flight; 0: never
	took    time.Duration
}

// run sends the requests from as many goroutines as a run of cip has.
//
// Latencies differ by up to a tenth. A refusal asks for a pause of a second.
func (s *simulation) run(t *testing.T) {
	t.Helper()
	h := pace.New(pace.Options{})
	var wg sync.WaitGroup
	began := time.Now()
	gate := make(chan struct{}, 256)
	for i := range s.requests {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			half := s.latency * time.Duration(90+i*7919%21) / 200
			for accepted := false; !accepted; {
				slot, err := h.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if !s.reuse() {
					time.Sleep(s.connect)
				}
				slot.Sent()
				s.sent(time.Since(began))
				time.Sleep(half)
				accepted = s.arrived()
				time.Sleep(half)
				s.answered()
				if accepted {
					slot.Answered()
				} else {
					slot.Throttled(time.Second)
				}
				slot.Done()
			}
		})
	}
	wg.Wait()
	s.took = time.Since(began)
}

// reuse takes an idle connection, and reports whether there was one.
func (s *simulation) reuse() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == 0 {
		return false
	}
	s.idle--
	return true
}

func (s *simulation) sent(at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying++
	if s.flying == s.until && s.reached == 0 {
		s.reached = at
	}
}

func (s *simulation) arrived() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	accepted := s.accept(s.asked)
	if !accepted {
		s.refused++
	}
	return accepted
}

func (s *simulation) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.idle++
}

var latencies = []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond}

// With a limit, a run is not much slower than the limit, and few requests are refused.
func TestQuotaIsLearned(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		for _, perSec := range []float64{83, 200, 1000} {
			for _, capacity := range []float64{20, 100, 200, 400} {
				t.Run(fmt.Sprintf("%v, %v a second, burst of %v", latency, perSec, capacity), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						s := simulation{requests: 2208, latency: latency}
						// The requests in flight are refused, and these are more if the latency is.
						mostRefused, over := 0.01, 1.15
						if latency > 20*time.Millisecond {
							s.requests, mostRefused = 5000, 0.025
						}
						switch {
						case perSec == 1000:
							s.requests, over = 10000, 2.2 // 100 requests in flight are 667 a second at 150 ms
						case capacity < 100:
							over = 1.4 // each pause of a second costs a second
						}
						q := newQuota(perSec, capacity)
						s.accept = func(int) bool { return q.take() }
						s.run(t)
						s.check(t, float64(s.requests)/perSec*over, mostRefused)
					})
				})
			}
		}
	}
}

// check compares the time and the share of refused requests with limits.
//
// Goroutines run in any order, so that there may be 3 more refusals, or a pause of a second.
func (s *simulation) check(t *testing.T, seconds, refused float64) {
	t.Helper()
	t.Logf("%d requests in %.2f s, %d refused", s.requests, s.took.Seconds(), s.refused)
	if s.refused > 0 {
		seconds++
	}
	if s.took.Seconds() > seconds {
		t.Errorf("got %.2f s, want at most %.2f s", s.took.Seconds(), seconds)
	}
	if most := int(float64(s.requests)*refused) + 3; s.refused > most {
		t.Errorf("got %d of %d refused, want at most %d", s.refused, s.requests, most)
	}
}

// New connections make the first refusals look like those of a host that has accepted few
// requests: the requests that wait for them are refused later.
func TestQuotaIsLearnedWhileConnecting(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		for _, capacity := range []float64{20, 50, 100, 200, 400} {
			for _, trips := range []time.Duration{1, 2} {
				t.Run(fmt.Sprintf("%v, burst of %v, %d round trips to connect", latency, capacity, trips), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						q := newQuota(200, capacity)
						s := simulation{requests: 2208, latency: latency, connect: trips * latency, accept: func(int) bool { return q.take() }}
						s.run(t)
						over := 1.4
						if latency > 100*time.Millisecond {
							over = 1.75
						}
						s.check(t, 2208.0/200*over, 0.05)
					})
				})
			}
		}
	}
}

func TestOtherQuotas(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		perSec, capacity float64
		requests         int
		seconds          float64
		refused          float64
	}{
		"50 a second":                {50, 50, 2250, 50, 0.01},
		"1000 a second, by the hour": {1000, 60000, 100000, 115, 0.01},
		"more than is needed":        {5000, 10000, 2250, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := newQuota(tc.perSec, tc.capacity)
				s := simulation{requests: tc.requests, latency: 20 * time.Millisecond, accept: func(int) bool { return q.take() }}
				s.run(t)
				s.check(t, tc.seconds, tc.refused)
			})
		})
	}
}

// Without a limit, 450 requests a second are sent within 4 round trips, and all that may
// be in flight within one second and a half.
func TestStart(t *testing.T) {
	t.Parallel()
	for i, latency := range latencies {
		t.Run(latency.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := simulation{requests: 2208, latency: latency, accept: func(int) bool { return true }}
				s.until = max(10, int(450*0.9*latency.Seconds()))
				s.run(t)
				if s.reached > 4*latency || s.reached == 0 && s.until > 10 {
					t.Errorf("got %d requests in flight after %v, want them after 4 round trips", s.until, s.reached)
				}
				s.check(t, []float64{0.35, 1.25, 2.35, 3.3, 4.3}[i], 0)
			})
		})
	}
}

// Refusals without a limit do not slow down what follows.
func TestRecoversFromScatteredRefusals(t *testing.T) {
	t.Parallel()
	for _, latency := range latencies {
		t.Run(latency.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const scattered = 3000
				var calmed time.Time
				s := simulation{requests: 13000, latency: latency, accept: func(n int) bool {
					if n == scattered {
						calmed = time.Now()
					}
					return n > scattered || n%300 != 7
				}}
				s.run(t)
				took, ideal := time.Since(calmed).Seconds(), float64(s.requests-scattered)/(100/latency.Seconds())
				if took > ideal*1.15+0.5 {
					t.Errorf("got %.2f s for the requests after the last refusal, want at most %.2f s", took, ideal*1.15+0.5)
				}
			})
		})
	}
}

// Refusals that have nothing to do with the rate cost their pauses, and not much more.
func TestScatteredRefusalsAreNoLimit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		requests int
		accept   func(n int) bool
	}{
		"some at the beginning": {200, func(n int) bool { return n > 60 || n*7919%101 >= 10 }},
		"one in ten":            {600, func(n int) bool { return n*7919%101 >= 10 }},
		"one in three":          {150, func(n int) bool { return n*7919%101 >= 33 }},
	} {
		for _, latency := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s, %v", name, latency), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := simulation{requests: tc.requests, latency: latency, accept: tc.accept}
					s.run(t)
					s.check(t, 1.5*float64(s.refused)+3, 1)
				})
			})
		}
	}
}
