package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"golang.org/x/time/rate"
)

// host is a registry behind latency, counters, a limiter and faults.
type host struct {
	listener *counted
	registry http.Handler // beneath all of these
	latency  time.Duration
	limiter  *rate.Limiter
	faults   *faults

	mu       sync.Mutex
	inFlight int
	tally    hostTally
}

// newHost starts to listen as the i-th host of a scenario.
func newHost(o *options, s *scenario, i int) (*host, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	limit := rate.Inf
	if s.limit > 0 {
		limit = rate.Limit(s.limit)
	}
	return &host{
		listener: &counted{Listener: l}, registry: newRegistry(), latency: o.latency, limiter: rate.NewLimiter(limit, o.burst),
		faults: newFaults(s.faults, o.seed, i), tally: hostTally{Kinds: map[string]int{}},
	}, nil
}

// ServeHTTP answers a client: late, and perhaps not as it hopes.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.note(func(t *hostTally) {
		t.Kinds[kindOf(r)]++
		h.inFlight++
		t.Peak = max(t.Peak, h.inFlight)
	})
	defer h.note(func(*hostTally) { h.inFlight-- })
	timer := time.NewTimer(h.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	what, status := h.faults.draw(r)
	switch {
	case !h.limiter.Allow():
		h.note(func(t *hostTally) { t.Limited++ })
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
	case what == none:
		h.registry.ServeHTTP(w, r)
	default:
		h.note(func(t *hostTally) { t.Faults++ })
		fail(what, status, w, r, h.registry)
	}
}

// note changes the tally.
func (h *host) note(change func(*hostTally)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.tally)
}

// seen returns a copy of the tally.
func (h *host) seen() (t hostTally) {
	h.note(func(own *hostTally) { t = *own })
	t.Kinds = maps.Clone(t.Kinds)
	t.Sent, t.Received = h.listener.in.Load(), h.listener.out.Load()
	return t
}

// kindOf says what a request asks for, in a word or two.
func kindOf(r *http.Request) string {
	path := r.URL.Path
	switch {
	case path == "/v2/":
		return "ping"
	case path == "/v2/_catalog":
		return "catalog"
	case strings.HasSuffix(path, "/tags/list"):
		return "tag list"
	case strings.Contains(path, "/manifests/"):
		return "manifest " + r.Method
	case strings.Contains(path, "/blobs/uploads/") && r.URL.Query().Has("mount"):
		return "mount"
	case strings.Contains(path, "/blobs/uploads/"):
		return "upload " + r.Method
	case strings.Contains(path, "/blobs/"):
		return "blob " + r.Method
	}
	return "other"
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":""}]}`, code)
}

// counted counts the bytes of its connections.
type counted struct {
	net.Listener
	in, out atomic.Int64
}

// Accept waits for a connection.
func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{c, l}, err
}

type countedConn struct {
	net.Conn
	l *counted
}

// Read reads and counts.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.l.in.Add(int64(n))
	return n, err
}

// Write writes and counts.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.l.out.Add(int64(n))
	return n, err
}

// registry is a registry in memory that, as distribution does, has a catalog and
// says of a repository that never had a manifest that it is not there.
type registry struct {
	next  http.Handler
	mu    sync.Mutex
	names map[string]struct{}
}

func newRegistry() *registry {
	c := config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}}
	c.Storage.GC.Frequency, c.Storage.GC.RepoUploadMax = -1, -1
	return &registry{next: olareg.New(c), names: map[string]struct{}{}}
}

// ServeHTTP answers at once.
func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	put, _, isManifest := strings.Cut(path, "/manifests/")
	list, isList := strings.CutSuffix(path, "/tags/list")
	g.mu.Lock()
	if isManifest && r.Method == http.MethodPut {
		g.names[put] = struct{}{}
	}
	_, known := g.names[list]
	names := g.names
	if path == "_catalog" {
		names = maps.Clone(names)
	}
	g.mu.Unlock()
	switch {
	case path == "_catalog":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(marshal(map[string][]string{"repositories": slices.Sorted(maps.Keys(names))}))
	case isList && !known:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
	default:
		g.next.ServeHTTP(w, r)
	}
}
