// Package wire sends requests to registry hosts.
//
// All reads and writes of registries use its Transport. Before a request is sent, the
// host is pinged once per run, to learn its scheme and challenge. The request then gets
// a bearer token, which covers up to 50 repositories (internal/auth), and waits for a
// slot of the host (internal/pace). It is retried a limited number of times. The body of
// a request is a function, so that each try sends all of it.
//
// A response is returned if a retry would not change its status, also if it is an error.
// Package registry reads it: this package does not know what a manifest is.
package wire

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"golang.org/x/sync/semaphore"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

// Options configure a Transport.
type Options struct {
	UserAgent   string
	Pace        pace.Options
	PlainHTTP   []string // hosts without TLS; loopback hosts need not be named
	InsecureTLS []string // hosts whose certificate is not verified
	RootCAs     [][]byte // PEM certificates that are trusted in addition to the system's
	Credentials *auth.Store
	Account     func(name.Repository) string // service account of a repository; nil: none
	Limits      Limits
	Connections int                              // maximum number of open connections to all hosts; 0: no limit
	Backoff     time.Duration                    // wait after the first failed try; doubles each time. 0: 250 ms
	Warn        func(format string, args ...any) // logs that a host makes the run wait
	Notice      func(format string, args ...any) // logs the first failed try of a host
	Debug       func(format string, args ...any) // logs all others
	Sent        func(Sent)                       // logs each HTTP request; nil: no log
}

const (
	defaultBackoff = 250 * time.Millisecond
	maxBackoff     = 15 * time.Second
	maxTries       = 7  // of a request: 16 s of waiting with the default backoff
	maxThrottled   = 15 // responses with status 429 to one request: the host works, so waiting helps
	maxLate        = 3  // tries of a request whose response is too slow
	downAfter      = 3  // consecutive requests without a response, after which each has one try
)

// Transport sends requests. It is safe for concurrent use.
type Transport struct {
	options Options
	client  *http.Client
	flying  *semaphore.Weighted // limits requests in flight, each of which has a connection
	secrets secret.Set          // all secrets that were sent; they are removed from foreign text

	mu       sync.Mutex
	hosts    map[string]*host
	paces    map[string]*pace.Host
	requests map[string]int // by host
}

// Access is the kind of access that a request needs.
type Access int

// Dry runs need only Pull.
const (
	Pull Access = iota
	Push
	Catalog // the list of repositories of a host
)

// Request is one request to a registry.
type Request struct {
	Method string
	Repo   name.Repository // the repository; Catalog requests need only its registry
	Path   string          // below /v2/, unless URL is set
	Query  url.Values
	URL    *url.URL // an absolute Location or Link of an earlier response
	Header http.Header
	Access Access
	From   name.Repository               // the source of a mount
	Body   func() (io.ReadCloser, error) // called for each try; nil: no body
	Length int64                         // of Body, in bytes
	Blob   bool                          // the request or response body is a blob: its size sets no time limit
	Grace  bool                          // wait for the response a little after ctx ends, because it says what was done
	Tries  int                           // maximum; 0: the default
	Once   bool                          // do not retry if a try may have reached the host
	Home   bool                          // fail with ErrElsewhere if a redirect leads to another host that does not respond with 200

	// Before is called before each try is sent. Requests with its context are part of the
	// try: see pair. If it returns an error, the request ends and nothing is sent.
	Before func(context.Context) error
}

// New returns a transport.
func New(o Options) (*Transport, error) {
	o.Backoff = cmp.Or(o.Backoff, defaultBackoff)
	o.Limits = o.Limits.withDefaults()
	if o.Account == nil {
		o.Account = func(name.Repository) string { return "" }
	}
	if o.Debug == nil {
		o.Debug = func(string, ...any) {}
	}
	if o.Notice == nil {
		o.Notice = o.Debug
	}
	if o.Warn == nil {
		o.Warn = o.Notice
	}
	t := &Transport{
		hosts: map[string]*host{}, paces: map[string]*pace.Host{},
		flying: semaphore.NewWeighted(cmp.Or(int64(o.Connections), math.MaxInt64)),
	}
	o.Debug, o.Notice, o.Warn = t.redacted(o.Debug), t.redacted(o.Notice), t.redacted(o.Warn)
	t.options = o
	client, err := t.newClient()
	if err != nil {
		return nil, err
	}
	t.client = client
	return t, nil
}

// redacted returns log without the secrets in its lines.
func (t *Transport) redacted(log func(string, ...any)) func(string, ...any) {
	return func(format string, args ...any) { log("%s", t.secrets.Redact(fmt.Sprintf(format, args...))) }
}

// Limits returns the timeouts for hosts.
func (t *Transport) Limits() Limits { return t.options.Limits }

// Close closes idle connections.
func (t *Transport) Close() { t.client.CloseIdleConnections() }

// Do sends a request and returns the response, after retries if necessary.
//
// The response may have any status that a retry would not change. The caller closes its
// body. If the host responded but the request failed, the error is an *Error.
func (t *Transport) Do(ctx context.Context, r *Request) (*http.Response, error) {
	if p, ok := ctx.Value(pairKey{}).(*pair); ok {
		return p.read(ctx, t, r)
	}
	h := t.host(r.Repo.RegistryStr())
	if err := h.ready(ctx); err != nil {
		return nil, err
	}
	login := login{host: h, request: r}
	return t.tries(ctx, h, r, func(ctx context.Context) (*http.Response, verdict, error) {
		req, err := r.build(ctx, h, t.options.UserAgent)
		if err != nil {
			return nil, final, err
		}
		defer login.leave()
		if err := login.sign(ctx, req); err != nil {
			return nil, final, err
		}
		slot, err := h.pace.Acquire(ctx)
		if err != nil {
			return nil, final, err
		}
		if r.Before != nil {
			if resp, v, err := login.before(ctx, r, req, slot); v != 0 {
				slot.Done()
				return resp, v, err
			}
		}
		resp, err := t.send(h, req, slot, r)
		if err != nil {
			login.unanswered()
			return nil, again, err
		}
		v, no := login.judge(resp)
		if no != nil {
			discard(resp)
			return nil, v, no
		}
		return resp, v, nil
	})
}

// where returns the request's host and path, for logs.
func (r *Request) where() string {
	if r.URL != nil {
		return r.URL.Host + r.URL.Path
	}
	return r.Repo.RegistryStr() + "/v2/" + r.Path
}

// build returns the HTTP request for one try.
func (r *Request) build(ctx context.Context, h *host, agent string) (*http.Request, error) {
	u := r.URL
	if u == nil {
		ctx = context.WithValue(ctx, plainKey{}, true)
		u = &url.URL{Scheme: h.scheme, Host: h.addr, Path: "/v2/" + r.Path, RawQuery: r.Query.Encode()}
	}
	req, err := http.NewRequestWithContext(withOrigin(ctx, h), r.Method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, r.Header)
	req.Header.Set("User-Agent", agent)
	if r.Body != nil {
		body, err := r.Body()
		if err != nil {
			return nil, err
		}
		req.Body, req.GetBody, req.ContentLength = body, r.Body, r.Length
		if r.Length == 0 {
			req.Body = http.NoBody
			body.Close()
		}
	}
	return req, nil
}

// host returns the state of a registry host.
func (t *Transport) host(name string) *host {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[name]
	if t.over(h) {
		addr := name
		if name == image.DockerHub {
			addr = dockerHubAddr
		}
		h = t.newHost(name, addr)
		t.hosts[name] = h
	}
	return h
}

// server returns the state of a token server.
//
// It is separate from a registry at the same address, because one of them may fail while
// the other works. They share the pace.
func (t *Transport) server(addr string) *host {
	key := "token server " + addr
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over(t.hosts[key]) {
		t.hosts[key] = t.newHost(addr, addr)
	}
	return t.hosts[key]
}

// over reports whether a host has no state yet, or was given up so long ago that it begins
// without one again. The caller holds t.mu.
func (t *Transport) over(h *host) bool {
	again := t.options.Limits.Again
	switch {
	case h == nil:
		return true
	case again == 0 || !h.givenUp():
		return false
	case h.noticed.IsZero():
		h.noticed = time.Now()
	}
	return time.Since(h.noticed) >= again
}

const dockerHubAddr = "registry-1.docker.io"

// paceOf returns an address's pace. The caller holds t.mu.
func (t *Transport) paceOf(addr string) *pace.Host {
	addr = strings.ToLower(addr)
	if p := t.paces[addr]; p == nil || t.options.Limits.Again > 0 && p.Ended() != nil {
		t.paces[addr] = pace.New(t.options.Pace)
	}
	return t.paces[addr]
}
