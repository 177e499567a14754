// Package wire sends requests to registry hosts: it is the one transport below
// everything that cip reads and writes.
//
// A request goes through, in this order: the host's ping (once a run: scheme and
// challenge), a bearer token that covers up to 50 repositories (internal/auth),
// the host's pace (internal/pace), and a bounded number of tries. Bodies are
// functions, so that a request can be sent again whole, over HTTP/1.1 and HTTP/2
// alike. Answers with a status that a retry cannot mend are returned as they are;
// reading them is package registry's work. Nothing here knows what a manifest is.
package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
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
	PlainHTTP   []string // hosts spoken to without TLS; loopback hosts need not be named
	InsecureTLS []string // hosts whose certificate is not verified
	RootCAs     [][]byte // PEM certificates trusted besides the system's
	Credentials *auth.Store
	Account     func(name.Repository) string // service account of a repository; nil: none
	Limits      Limits
	Connections int                              // most open at once, to all hosts; 0: no bound
	Backoff     time.Duration                    // first wait after a failed try; doubles. 0: 250 ms
	Notice      func(format string, args ...any) // told of the first failing try of a host
	Debug       func(format string, args ...any) // told of every failing try
}

const (
	defaultBackoff = 250 * time.Millisecond
	longestBackoff = 15 * time.Second
	mostTries      = 7  // of a request that fails: 16 s of waiting with the default backoff
	mostThrottled  = 15 // of a request that the host puts off: it is alive, so patience pays
	mostLate       = 3  // of a request whose answer does not come in time
	downAfter      = 3  // requests in a row that no try reached: then one try each
)

// Transport sends requests. It is safe for concurrent use.
type Transport struct {
	options Options
	client  *http.Client
	counter counter
	flying  *semaphore.Weighted // bounds requests in flight, each of which has a connection; nil: no bound
	secrets secret.Set          // what was sent as a secret: nothing foreign that is printed repeats it

	mu    sync.Mutex
	hosts map[string]*host
	paces map[string]*pace.Host
}

// Access is what a request does to a repository.
type Access int

// The kinds of access; dry runs ask for Pull alone.
const (
	Pull Access = iota
	Push
	Catalog // of the host, not of a repository
)

// Request is one request to a registry.
type Request struct {
	Method string
	Repo   name.Repository // whom it concerns; Catalog requests need only its Host
	Path   string          // below /v2/, unless URL is set
	Query  url.Values
	URL    *url.URL // a Location or Link of an earlier answer, resolved
	Header http.Header
	Access Access
	From   name.Repository               // the repository a mount reads
	Body   func() (io.ReadCloser, error) // may be called again for another try; nil: none
	Length int64                         // of Body, in bytes
	Blob   bool                          // Body or the answer's body is a blob: only stalling ends it
	Grace  bool                          // wait a little for the answer even after ctx ends: it tells what is done, or to be cleaned up
	Tries  int                           // at most; 0: as many as any request
	Once   bool                          // do not repeat the request when a try may have reached the host
	Home   bool                          // where a redirect leads to another host, only a 200 counts: all else there is ErrElsewhere, at once

	// Before runs right before each try is sent. What it reads with its context belongs
	// to the try: see pair. Its error ends the request, and nothing is sent.
	Before func(context.Context) error
}

// New returns a transport.
func New(o Options) (*Transport, error) {
	if o.Backoff == 0 {
		o.Backoff = defaultBackoff
	}
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
	t := &Transport{hosts: map[string]*host{}, paces: map[string]*pace.Host{}}
	o.Debug, o.Notice = t.redacted(o.Debug), t.redacted(o.Notice)
	t.options = o
	if o.Connections > 0 {
		t.flying = semaphore.NewWeighted(int64(o.Connections))
	}
	client, err := t.newClient()
	if err != nil {
		return nil, err
	}
	t.client = client
	return t, nil
}

// redacted returns a log function that prints no secret: addresses in its lines may be foreign.
func (t *Transport) redacted(log func(string, ...any)) func(string, ...any) {
	return func(format string, args ...any) { log("%s", t.secrets.Redact(fmt.Sprintf(format, args...))) }
}

// Limits returns how long a host may take.
func (t *Transport) Limits() Limits { return t.options.Limits }

// Close closes idle connections.
func (t *Transport) Close() { t.client.CloseIdleConnections() }

// Requests returns how many requests each host was sent, pings, tokens and tries included.
func (t *Transport) Requests() map[string]int { return t.counter.counts() }

// Do sends a request and returns the answer, whatever its status, once no retry
// would mend it. The caller closes the answer's body. An error is an *Error when
// the host answered at all.
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

// verdict says what to do with the outcome of one try.
type verdict int

const (
	final   verdict = iota + 1 // return it
	again                      // try again, unless the answer or error is beyond mending
	renewed                    // try again at once: what it was sent with has been renewed
)

// tries runs one try after another until an outcome is final or tries run out.
func (t *Transport) tries(ctx context.Context, h *host, r *Request, try func(context.Context) (*http.Response, verdict, error)) (*http.Response, error) {
	var n tally
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		resp, v, err := try(ctx)
		switch {
		case v == renewed:
			discard(resp)
			continue
		case ctx.Err() != nil && r.Grace && err != nil && v == again:
			return nil, &UnansweredError{ctx.Err()}
		case ctx.Err() != nil && !(r.Grace && err == nil):
			if resp != nil {
				discard(resp)
			}
			return nil, ctx.Err()
		case err != nil && (v == final || !retryable(err) || r.Once && !unsent(err)):
			return nil, t.Clean(err)
		case err != nil:
			n.failed++
			if errors.Is(err, syscall.EMFILE) {
				t.Close() // connections that nobody uses may be what is in the way
			}
			err = t.Clean(err)
			if over := h.failing(err, 0); over != nil {
				return nil, over
			}
			if n.failed >= h.patience(r, err) {
				h.unreached()
				return nil, err
			}
			h.tell("%s %s: try %d: %v: trying again", r.Method, r.where(), n.failed, err)
		case !retryStatus(resp.StatusCode) || r.Once && resp.StatusCode != http.StatusTooManyRequests:
			h.reached()
			return resp, nil
		default:
			if err := h.refused(r, resp, &n); err != nil {
				return nil, err
			}
		}
		if err := t.pause(ctx, n.failed+n.throttled, h.pace.Over()); err != nil {
			return nil, err
		}
	}
}

// tally counts the tries of one request that did not end it.
type tally struct {
	failed    int
	throttled int // refused with 429
}

// refused counts a refusal that may pass, and returns an error if there is to be no other try.
func (h *host) refused(r *Request, resp *http.Response, n *tally) error {
	e := ReadError(resp)
	limit, count := r.tries(), &n.failed
	if e.throttled {
		limit, count = mostThrottled, &n.throttled
	}
	*count++
	wait := e.wait
	if e.tooLong() {
		limit, wait = 0, 0 // others may be granted what this request is not
	}
	if over := h.failing(e, wait); over != nil {
		return over
	}
	if *count >= limit {
		return e
	}
	h.tell("%s %s: try %d: %v: trying again", r.Method, r.where(), *count, e)
	return nil
}

// Pause waits between two tries: exponentially longer, with jitter.
func (t *Transport) Pause(ctx context.Context, tried int) error { return t.pause(ctx, tried, nil) }

// pause waits between two tries of a host, or until that is given up.
func (t *Transport) pause(ctx context.Context, tried int, over <-chan struct{}) error {
	d := min(longestBackoff, t.options.Backoff<<min(tried-1, 10))
	d = d/2 + rand.N(d/2+1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (r *Request) tries() int {
	if r.Tries > 0 {
		return r.Tries
	}
	return mostTries
}

// where names the request for people, without query and credentials.
func (r *Request) where() string {
	if r.URL != nil {
		return r.URL.Host + r.URL.Path
	}
	return r.Repo.RegistryStr() + "/v2/" + r.Path
}

// build makes the HTTP request of one try.
func (r *Request) build(ctx context.Context, h *host, agent string) (*http.Request, error) {
	u := r.URL
	if u == nil {
		u = &url.URL{Scheme: h.scheme, Host: h.addr, Path: "/v2/" + r.Path, RawQuery: r.Query.Encode()}
	}
	req, err := http.NewRequestWithContext(withOrigin(ctx, h), r.Method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
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

// host returns what is known of a registry host.
func (t *Transport) host(name string) *host {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[name]
	if h == nil {
		h = &host{transport: t, name: name, addr: name, tokens: map[string]*tokenSet{}, turn: make(chan struct{}, 1)}
		if name == image.DockerHub {
			h.addr = dockerHubAddr
		}
		h.pace = t.paceOf(h.addr)
		t.hosts[name] = h
	}
	return h
}

// server returns what is known of a token server. It is not the registry at the same
// address: that one may grant nothing while the other grants tokens.
func (t *Transport) server(addr string) *host {
	key := "token server " + addr
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosts[key] == nil {
		t.hosts[key] = &host{transport: t, name: addr, addr: addr, pace: t.paceOf(addr)}
	}
	return t.hosts[key]
}

const dockerHubAddr = "registry-1.docker.io"

// paceOf returns the pace of an address. The caller holds t.mu.
func (t *Transport) paceOf(addr string) *pace.Host {
	addr = strings.ToLower(addr)
	if t.paces[addr] == nil {
		t.paces[addr] = pace.New(t.options.Pace)
	}
	return t.paces[addr]
}
