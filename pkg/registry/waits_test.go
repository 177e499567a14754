package registry_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// warnings returns a log that collects its warnings, and calls then after each one.
func warnings(then func()) (log *logrus.Logger, lines func() []string) {
	c := &collected{then: then}
	log = logrus.New()
	log.SetOutput(discard{})
	log.AddHook(c)
	return log, func() []string {
		c.mu.Lock()
		defer c.mu.Unlock()
		return append([]string(nil), c.lines...)
	}
}

type discard struct{}

// Write does nothing.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

type collected struct {
	then  func()
	mu    sync.Mutex
	lines []string
}

// Levels returns the level of warnings.
func (c *collected) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel} }

// Fire adds a line.
func (c *collected) Fire(e *logrus.Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, e.Message)
	c.then()
	return nil
}

// A wait of more than 5 s is logged, with the host, its reason and the end.
func TestLongWaitIsLogged(t *testing.T) {
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		want  string // of the only line; empty: none
	}{
		"Retry-After": {
			registrytest.Status(429, http.Header{"Retry-After": {"60"}, "Content-Type": {"application/json"}}, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down, planted-secret"}]}`),
			`^waiting for HOST until \d\d:\d\d:\d\d \S+ \(1m0s\): 429 TOOMANYREQUESTS: slow down, \[redacted\]$`,
		},
		"a busy server": {
			registrytest.Status(503, http.Header{"Retry-After": {"30"}}, "maintenance"),
			`^waiting for HOST until \d\d:\d\d:\d\d \S+ \(30s\): 503 Service Unavailable: maintenance$`,
		},
		"an announcement": {
			registrytest.EditResponse(func(_ int, h http.Header) { h.Set("RateLimit", `"default";r=0;t=40`) }),
			`^waiting for HOST until \d\d:\d\d:\d\d \S+ \(40s\): it announces that it accepts no more requests before$`,
		},
		"a short wait": {registrytest.Status(429, registrytest.Header("Retry-After", "0"), ""), ``},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t, registrytest.BasicAuth("me", "planted-secret"))
			dockerConfig(t, s.Host, "me", "planted-secret")
			s.Push(t, "a", registrytest.Image(1, 1), "1")
			s.Fault(tc.fault, registrytest.Is(registrytest.ManifestGet), registrytest.First(20))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			log, lines := warnings(cancel) // so that nothing waits
			c := newClient(t, registry.Options{Log: log})
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { _, _ = c.Manifest(ctx, repo(s, "a"), "1") })
			}
			wg.Wait()
			got := lines()
			if tc.want == "" {
				if len(got) > 0 {
					t.Errorf("got %q, want no warning", got)
				}
				return
			}
			if len(got) != 1 || !regexp.MustCompile(tc.want).MatchString(strings.ReplaceAll(got[0], s.Host, "HOST")) {
				t.Errorf("got %q, want one line that matches %s", got, tc.want)
			}
		})
	}
}

// A request that is refused with 429 again and again fails with the number of tries.
func TestThrottledRequestSaysItsTries(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	s.Push(t, "a", registrytest.Image(1, 1), "1")
	s.Fault(registrytest.Status(429, registrytest.Header("Retry-After", "0"), "busy"), registrytest.Is(registrytest.ManifestGet))
	_, err := newClient(t, registry.Options{Limits: registry.Limits{Patience: time.Hour}}).Manifest(t.Context(), repo(s, "a"), "1")
	if err == nil || !strings.Contains(err.Error(), "429 Too Many Requests: busy (tries: 15)") {
		t.Errorf("got %v, want an error with 15 tries", err)
	}
}

// An upload to a registry whose quota is used up is not tried again.
func TestUsedUpQuotaIsPermanent(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	s.Fault(registrytest.Status(429, registrytest.Header("Retry-After", "3600"), ""), registrytest.Is(registrytest.UploadPost))
	_, err := newClient(t, registry.Options{}).Upload(t.Context(), repo(s, "a"))
	if err == nil || !strings.Contains(err.Error(), "the host asks to wait for 1h0m0s") || !registry.IsPermanent(err) {
		t.Errorf("got %v, permanent: %t; want a permanent error with the time", err, registry.IsPermanent(err))
	}
}

// A client of a server asks a host again that was given up. Other clients do not: one run
// has no time for it.
func TestHostThatWasGivenUp(t *testing.T) {
	t.Parallel()
	down := registrytest.Status(503, nil, "down")
	for name, tc := range map[string]struct {
		match  registrytest.Match
		limits registry.Limits
		again  bool
	}{
		"the ping fails":            {registrytest.Is(registrytest.Ping), registry.Limits{Again: time.Nanosecond}, true},
		"the ping fails in a run":   {registrytest.Is(registrytest.Ping), registry.Limits{}, false},
		"nothing is granted":        {registrytest.Is(registrytest.ManifestHead), registry.Limits{Again: time.Nanosecond, Patience: time.Nanosecond}, true},
		"nothing is granted in run": {registrytest.Is(registrytest.ManifestHead), registry.Limits{Patience: time.Nanosecond}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Push(t, "a", registrytest.Image(1, 1), "1")
			s.Fault(down, tc.match)
			c := newClient(t, registry.Options{Limits: tc.limits})
			if _, _, err := c.Resolve(t.Context(), repo(s, "a"), "1"); err == nil {
				t.Error("a host that fails: got no error, want one")
			}
			s.ClearFaults()
			var err error
			for range 2 { // the first one may be what notices the failure
				_, _, err = c.Resolve(t.Context(), repo(s, "a"), "1")
			}
			if (err == nil) != tc.again {
				t.Errorf("a host that works again: got %v, want it to be asked again: %t", err, tc.again)
			}
		})
	}
}
