package registrytest

import (
	"strings"
	"testing"
	"time"
)

// The first request of a connection waits for the handshakes, too.
func TestLatency(t *testing.T) {
	t.Parallel()
	const d = 10 * time.Millisecond
	for name, tc := range map[string]struct {
		opts  []Option
		trips time.Duration
	}{
		"HTTP/1.1":          {nil, 2},
		"HTTP/1.1 over TLS": {[]Option{TLS()}, 3},
		"HTTP/2":            {[]Option{HTTP2()}, 3},
	} {
		s := New(t, append(tc.opts, Latency(d))...)
		for i, want := range []time.Duration{tc.trips * d, d} {
			began := time.Now()
			ask(t, s, "GET", "/v2/", "").want(t, 200)
			if took := time.Since(began); took < want {
				t.Errorf("%s: request %d took %v, want at least %v", name, i, took, want)
			}
		}
	}
}

func TestTraffic(t *testing.T) {
	t.Parallel()
	s := New(t)
	ask(t, s, "PUT", "/v2/r/manifests/1", strings.Repeat("x", 5000))
	if in, out := s.Traffic(); in < 5100 || in > 6000 || out < 20 || out > 2000 {
		t.Errorf("traffic of a PUT of 5000 bytes: %d in, %d out, want 5100 to 6000 and 20 to 2000", in, out)
	}
}
