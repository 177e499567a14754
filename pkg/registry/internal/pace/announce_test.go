package pace_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// fields returns a header with these names and values.
func fields(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Add(kv[i], kv[i+1])
	}
	return h
}

func TestParseAnnouncement(t *testing.T) {
	t.Parallel()
	now := time.Unix(1795262400, 0)
	for name, tc := range map[string]struct {
		header    http.Header
		remaining int
		reset     time.Duration
		ok        bool
	}{
		"nothing":                        {fields(), 0, 0, false},
		"Docker Hub":                     {fields("ratelimit-limit", "100;w=21600", "ratelimit-remaining", "20;w=21600", "docker-ratelimit-source", "192.0.2.1"), 20, 0, true},
		"Docker Hub, nothing left":       {fields("ratelimit-limit", "100;w=21600", "ratelimit-remaining", "0;w=21600"), 0, 0, true},
		"GitLab":                         {fields("RateLimit-Limit", "2000", "RateLimit-Observed", "1990", "RateLimit-Remaining", "10", "RateLimit-Reset", "1795262430"), 10, 30 * time.Second, true},
		"GitLab, with a date":            {fields("RateLimit-Limit", "2000", "RateLimit-Remaining", "10", "RateLimit-ResetTime", "Sat, 21 Nov 2026 12:00:40 GMT"), 10, 40 * time.Second, true},
		"GitHub":                         {fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", "1795262460"), 4999, time.Minute, true},
		"zot":                            {fields("Ratelimit-Limit", "5", "Ratelimit-Remaining", "3", "Ratelimit-Reset", "1"), 3, time.Second, true},
		"drafts 0 to 2":                  {fields("RateLimit-Limit", "10, 10;w=1, 50;w=60", "RateLimit-Remaining", "9", "RateLimit-Reset", "7"), 9, 7 * time.Second, true},
		"drafts 3 to 6":                  {fields("RateLimit-Limit", "10", "RateLimit-Policy", "10;w=1, 50;w=60", "RateLimit-Remaining", "9", "RateLimit-Reset", "7"), 9, 7 * time.Second, true},
		"draft 7":                        {fields("RateLimit", "limit=100, remaining=50, reset=5", "RateLimit-Policy", "100;w=10"), 50, 5 * time.Second, true},
		"draft 7, in several lines":      {fields("RateLimit", "limit=100", "RateLimit", "remaining=50, reset=5"), 50, 5 * time.Second, true},
		"draft 8 and later":              {fields("RateLimit", `"default";r=50;t=30`, "RateLimit-Policy", `"default";q=100;w=60`), 50, 30 * time.Second, true},
		"two policies":                   {fields("RateLimit", `"day";r=900;t=4000, "burst, short";r=2;t=3;pk=:YQ==:`), 2, 3 * time.Second, true},
		"a policy of bytes":              {fields("RateLimit", `"bytes";r=2;t=3, "requests";r=70;t=9`, "RateLimit-Policy", `"bytes";q=100;qu="content-bytes";w=5, "requests";q=100;w=60;qu="requests"`), 70, 9 * time.Second, true},
		"the least of two forms":         {fields("RateLimit-Remaining", "7", "X-RateLimit-Remaining", "3"), 3, 0, true},
		"a reset that has passed":        {fields("RateLimit-Remaining", "0", "RateLimit-Reset", "1795262000"), 0, 0, true},
		"a wrong clock":                  {fields("RateLimit-Remaining", "0", "RateLimit-Reset", "1600000005", "Date", "Sun, 13 Sep 2020 12:26:40 GMT"), 0, 5 * time.Second, true},
		"a reset in a year":              {fields("RateLimit-Remaining", "0", "RateLimit-Reset", "31536000"), 0, 24 * time.Hour, true},
		"negative":                       {fields("RateLimit-Remaining", "-1", "RateLimit-Reset", "5"), 0, 0, false},
		"not a number":                   {fields("RateLimit-Remaining", "lots", "RateLimit-Reset", "5"), 0, 0, false},
		"too large":                      {fields("RateLimit-Remaining", "99999999999999999999"), 0, 0, false},
		"more than the limit":            {fields("RateLimit-Limit", "5", "RateLimit-Remaining", "6"), 0, 0, false},
		"a limit of 0":                   {fields("RateLimit-Limit", "0", "RateLimit-Remaining", "0"), 0, 0, false},
		"a reset that is not a number":   {fields("RateLimit-Remaining", "0", "RateLimit-Reset", "soon"), 0, 0, false},
		"no reset, no rest":              {fields("RateLimit", `"default"`), 0, 0, false},
		"an unclosed quote and no names": {fields("RateLimit", `";;,r=5`), 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := pace.ParseAnnouncement(tc.header, now)
			if want := (pace.Announcement{Remaining: tc.remaining, Reset: tc.reset}); ok != tc.ok || ok && got != want {
				t.Errorf("got %+v, %t; want %+v, %t", got, ok, want, tc.ok)
			}
		})
	}
}

func FuzzParseAnnouncement(f *testing.F) {
	f.Add(`"default";r=50;t=30`, `"default";q=100;w=60`, "20;w=21600", "1795262430")
	f.Add("limit=100, remaining=50, reset=5", "100;w=10", "", "")
	f.Fuzz(func(t *testing.T, limit, policy, remaining, reset string) {
		header := fields("RateLimit", limit, "RateLimit-Policy", policy, "RateLimit-Remaining", remaining, "RateLimit-Reset", reset)
		a, ok := pace.ParseAnnouncement(header, time.Unix(0, 0))
		if a.Remaining < 0 || a.Reset < 0 || a.Reset > 24*time.Hour || !ok && a != (pace.Announcement{}) {
			t.Errorf("%v: got %+v, %t; want neither negative nor more than a day, and nothing if false", header, a, ok)
		}
	})
}

func TestAllowedRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"toomanyrequests: retry-after: 880.092µs, allowed: 44000/minute": 44000.0 / 60,
		"TOOMANYREQUESTS: retry-after: 1s, allowed: 5/second":            5,
		"allowed: 0/minute": 0, "allowed: many/minute": 0, "disallowed: 5/second": 0, "": 0,
	} {
		if got, ok := pace.AllowedRate(text); got != want || ok != (want > 0) {
			t.Errorf("%q: got %v, %t; want %v", text, got, ok, want)
		}
	}
}

// window is a host that announces what is left of a fixed window.
type window struct {
	mu     sync.Mutex
	size   int
	length time.Duration // 0: it never resets
	ends   time.Time
	left   int
}

// take counts a request. It returns whether the host accepts it, and what it announces.
func (w *window) take() (bool, pace.Announcement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.ends.IsZero() || w.length > 0 && !now.Before(w.ends) {
		w.ends, w.left = now.Add(w.length), w.size
	}
	if w.left == 0 {
		return false, pace.Announcement{Reset: w.ends.Sub(now)}
	}
	w.left--
	return true, pace.Announcement{Remaining: w.left, Reset: w.ends.Sub(now)}
}

// announcing sends n requests to a host that takes 100 ms for each. It returns the
// number of refused requests and the maximum in flight.
func announcing(t *testing.T, n int, take func() (bool, pace.Announcement)) (refused, peak int) {
	t.Helper()
	h := pace.New(pace.Options{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	inFlight := 0
	for range n {
		wg.Go(func() {
			for accepted := false; !accepted; {
				s, err := h.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inFlight++
				peak = max(peak, inFlight)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
				var a pace.Announcement
				accepted, a = take()
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				inFlight--
				if !accepted {
					refused++
				}
				mu.Unlock()
				if accepted {
					s.Announced(a, 2*time.Minute)
					s.Answered()
				} else {
					s.Throttled(a.Reset)
				}
				s.Done()
			}
		})
	}
	wg.Wait()
	return refused, peak
}

// A host that announces its quota refuses next to nothing, and is asked again when the
// quota is full.
func TestAnnouncedQuotaIsKept(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size    int
		length  time.Duration
		seconds float64
	}{
		"20 in 10 seconds":  {20, 10 * time.Second, 150},
		"100 in a minute":   {100, time.Minute, 121},
		"200 in 30 seconds": {200, 30 * time.Second, 35},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := &window{size: tc.size, length: tc.length}
				refused, _ := announcing(t, 300, w.take)
				if took := time.Since(began).Seconds(); refused > 10 || took > tc.seconds {
					t.Errorf("got %d refused in %.1f s, want at most 10 in %.1f s", refused, took, tc.seconds)
				}
			})
		})
	}
}

func TestAnnouncementLimitsRequestsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := pace.New(pace.Options{})
		first, err := h.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first.Announced(pace.Announcement{Remaining: 5, Reset: time.Hour}, 2*time.Minute)
		first.Done()
		var got int
		for range 50 {
			go func() {
				if _, err := h.Acquire(t.Context()); err == nil {
					got++
				}
			}()
			synctest.Wait()
		}
		if got != 5 {
			t.Errorf("got %d requests in flight, want the 5 that the host announced", got)
		}
		h.End(http.ErrServerClosed)
		synctest.Wait()
	})
}

// Announcements that are not true do not slow down a run.
func TestFalseAnnouncements(t *testing.T) {
	t.Parallel()
	const n = 1000
	for name, tc := range map[string]struct {
		says    pace.Announcement
		seconds float64
	}{
		"it counts none of the requests": {pace.Announcement{Remaining: 5}, 4},
		"nothing is left, without reset": {pace.Announcement{}, 4},
		"nothing is left for a year":     {pace.Announcement{Reset: 24 * time.Hour}, 4},
		"nothing is ever left":           {pace.Announcement{Reset: time.Minute}, 64},
		"nothing is left for a moment":   {pace.Announcement{Reset: time.Millisecond}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, peak := announcing(t, n, func() (bool, pace.Announcement) { return true, tc.says })
				if took := time.Since(began).Seconds(); took > tc.seconds || peak < 50 {
					t.Errorf("got %.1f s with %d requests in flight, want at most %.1f s with 50 or more", took, peak, tc.seconds)
				}
			})
		})
	}
}

// A rate that the host names is used from then on.
func TestNamedRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := pace.New(pace.Options{})
		s, err := h.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Throttled(0)
		s.Limited(50)
		s.Done()
		if took, _ := load(t, h, 201, 20*time.Millisecond); took < 4*time.Second || took > 4400*time.Millisecond {
			t.Errorf("got %v for 201 requests, want those of 50 a second", took)
		}
	})
}
