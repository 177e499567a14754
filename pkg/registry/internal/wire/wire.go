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
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"cip/pkg/image"
	"cip/pkg/registry/internal/auth"
	"cip/pkg/registry/internal/pace"
)

// Options configure a Transport.
type Options struct {
	UserAgent   string
	Pace        pace.Options
	PlainHTTP   []string // hosts spoken to without TLS; loopback hosts need not be named
	InsecureTLS []string // hosts whose certificate is not verified
	RootCAs     [][]byte // PEM certificates trusted besides the system's
	Credentials *auth.Store
	Account     func(image.Repository) string    // service account of a repository; nil: none
	Backoff     time.Duration                    // first wait after a failed try; doubles. 0: 250 ms
	Notice      func(format string, args ...any) // told of the first failing try of a host
	Debug       func(format string, args ...any) // told of every failing try
}

const (
	defaultBackoff = 250 * time.Millisecond
	longestBackoff = 15 * time.Second
	mostTries      = 7                // of a request that fails: 16 s of waiting with the default backoff
	mostThrottled  = 15               // of a request that the host puts off: it is alive, so patience pays
	mostTooLong    = 2                // of one put off for longer than is waited: a quota that is used up
	headTimeout    = 30 * time.Second // for the head of an answer, after the request is sent
	graceTime      = 3 * time.Second  // for the answer to a request that opens something, after an interrupt
	stallTimeout   = 60 * time.Second // for a body that makes no progress, either way
	commitTimeout  = 5 * time.Minute  // for the answer to an upload: the host hashes what it got
	downAfter      = 3                // requests in a row that no try reached: then one try each
)

// Transport sends requests. It is safe for concurrent use.
type Transport struct {
	options Options
	client  *http.Client
	counter counter

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
	Repo   image.Repository // whom it concerns; Catalog requests need only its Host
	Path   string           // below /v2/, unless URL is set
	Query  url.Values
	URL    *url.URL // a Location or Link of an earlier answer, resolved
	Header http.Header
	Access Access
	From   image.Repository              // the repository a mount reads
	Body   func() (io.ReadCloser, error) // may be called again for another try; nil: none
	Length int64                         // of Body, in bytes
	Blob   bool                          // Body or the answer's body is a blob: only stalling ends it
	Grace  bool                          // wait a little for the answer even after ctx ends: it tells what is done, or to be cleaned up
	Tries  int                           // at most; 0: as many as any request
	Once   bool                          // do not repeat the request when a try may have reached the host

	// Before runs right before each try is sent. What it reads with its context belongs
	// to the try: see pair. Its error ends the request, and nothing is sent.
	Before func(context.Context) error
}

// New returns a transport.
func New(o Options) (*Transport, error) {
	if o.Backoff == 0 {
		o.Backoff = defaultBackoff
	}
	if o.Account == nil {
		o.Account = func(image.Repository) string { return "" }
	}
	if o.Debug == nil {
		o.Debug = func(string, ...any) {}
	}
	if o.Notice == nil {
		o.Notice = o.Debug
	}
	t := &Transport{options: o, hosts: map[string]*host{}, paces: map[string]*pace.Host{}}
	client, err := t.newClient()
	if err != nil {
		return nil, err
	}
	t.client = client
	return t, nil
}

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
	h := t.host(r.Repo.Host)
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
		resp, err := t.send(req, slot, r)
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
	var failed, throttled int
	for {
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
		case err != nil && (v == final || !mendable(err) || r.Once && !unsent(err)):
			return nil, clean(err)
		case err != nil:
			failed++
			if failed >= min(h.patience(), r.tries()) {
				h.unreached()
				return nil, clean(err)
			}
			h.tell("%s %s: try %d: %v: trying again", r.Method, r.where(), failed, clean(err))
		case !retryStatus(resp.StatusCode) || r.Once && resp.StatusCode != http.StatusTooManyRequests:
			h.reached()
			return resp, nil
		default:
			e := ReadError(resp)
			limit, count := r.tries(), &failed
			if e.throttled {
				limit, count = mostThrottled, &throttled
			}
			if e.tooLong {
				limit = mostTooLong
			}
			*count++
			if *count >= limit {
				return nil, e
			}
			h.tell("%s %s: try %d: %v: trying again", r.Method, r.where(), *count, e)
		}
		if err := t.Pause(ctx, failed+throttled); err != nil {
			return nil, err
		}
	}
}

// Pause waits between two tries: exponentially longer, with jitter.
func (t *Transport) Pause(ctx context.Context, tried int) error {
	d := min(longestBackoff, t.options.Backoff<<min(tried-1, 10))
	d = d/2 + rand.N(d/2+1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	return r.Repo.Host + "/v2/" + r.Path
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

const dockerHubAddr = "registry-1.docker.io"

// paceOf returns the pace of an address. The caller holds t.mu.
func (t *Transport) paceOf(addr string) *pace.Host {
	addr = strings.ToLower(addr)
	if t.paces[addr] == nil {
		t.paces[addr] = pace.New(t.options.Pace)
	}
	return t.paces[addr]
}
