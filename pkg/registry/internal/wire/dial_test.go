package wire

import (
	"errors"
	"net"
	"sync"
	"testing"
)

// A registry may lead us only to addresses that as many machines can reach as its own.
//
// Otherwise a public registry could make us send requests to private services.
func TestDialReaches(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	visits := make(chan struct{}, 10)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			visits <- struct{}{}
			conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends the loop above
		done.Wait()
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		origin  string
		own     reach
		to      string
		allowed bool
	}{
		"public to loopback":             {"registry.example.com", public, "127.0.0.1:" + port, false},
		"private to loopback":            {"registry.example.com", private, "127.0.0.1:" + port, false},
		"public to a name of loopback":   {"registry.example.com", public, "localhost:" + port, false},
		"public to loopback within IPv6": {"registry.example.com", public, "[::ffff:127.0.0.1]:" + port, false},
		"public to private":              {"registry.example.com", public, "10.0.0.1:80", false},
		"public to a carrier's":          {"registry.example.com", public, "100.100.100.200:80", false},
		"public to metadata":             {"registry.example.com", public, "169.254.169.254:80", false},
		"loopback to metadata":           {"localhost:1", loopback, "169.254.169.254:80", false},
		"private to metadata over IPv6":  {"registry.example.com", private, "[fe80::1%lo]:80", false},
		"loopback to loopback":           {"localhost:1", loopback, "127.0.0.1:" + port, true},
		"itself":                         {"127.0.0.1:" + port, public, "127.0.0.1:" + port, true},
	} {
		h := &host{transport: w, name: test.origin, addr: test.origin}
		h.setReach(test.own)
		conn, err := w.dial(withOrigin(t.Context(), h), "tcp", test.to)
		if err == nil {
			conn.Close()
			<-visits
		}
		if test.allowed != (err == nil) || err != nil && !errors.Is(err, errRefused) {
			t.Errorf("%s: got error %v, want allowed: %t", name, err, test.allowed)
		}
	}
	if n := len(visits); n > 0 {
		t.Errorf("got %d connections that should have been refused, want none", n)
	}
}
