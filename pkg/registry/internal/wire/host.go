package wire

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// host is the state of one registry host or token server.
type host struct {
	transport *Transport
	name      string // as in name.Repository
	addr      string // on the wire
	pace      *pace.Host

	turn  chan struct{} // held by the goroutine that pings
	known atomic.Bool   // the ping is done
	// These are set before known, once.
	scheme  string
	closed  bool // anonymous requests are refused
	pingErr error

	mu         sync.Mutex
	challenges []auth.Challenge
	tokens     map[string]*tokenSet // by principal and scopes
	expected   map[Grant]*tokenSet
	refusals   map[auth.Principal]error
	passwords  map[auth.Principal]*password

	single  atomic.Bool // the host reads only one scope of a token
	trouble trouble

	warned   atomic.Bool  // a failed try was logged with Notice
	noticed  time.Time    // when it was noticed that the host was given up; guarded by Transport.mu
	failures atomic.Int32 // consecutive requests without a response
	far      atomic.Int32 // reach of the host's own address
}

// newHost returns the state of a host that no request was sent to. The caller holds t.mu.
func (t *Transport) newHost(name, addr string) *host {
	return &host{
		transport: t, name: name, addr: addr, pace: t.paceOf(addr), turn: make(chan struct{}, 1), tokens: map[string]*tokenSet{},
		expected: map[Grant]*tokenSet{}, refusals: map[auth.Principal]error{}, passwords: map[auth.Principal]*password{},
	}
}

// owns reports whether addr, a host and port, is the host itself.
func (h *host) owns(addr string) bool {
	own := h.addr
	if _, _, err := net.SplitHostPort(own); err != nil {
		own = strings.Trim(own, "[]")
		return addr == net.JoinHostPort(own, "443") || addr == net.JoinHostPort(own, "80")
	}
	return addr == own
}

func (h *host) setReach(r reach) { h.far.Store(int32(r)) }
func (h *host) getReach() reach  { return reach(h.far.Load()) }

// logFailure logs a failed try.
//
// The first one of a host is a notice, so that users see why nothing happens.
func (h *host) logFailure(format string, args ...any) {
	if h.warned.CompareAndSwap(false, true) {
		h.transport.options.Notice(format, args...)
		return
	}
	h.transport.options.Debug(format, args...)
}

// maxTries returns the number of tries for a request that failed with err.
//
// A host that does not respond gets one.
func (h *host) maxTries(r *Request, err error) int {
	switch {
	case h.failures.Load() >= downAfter:
		return 1
	case Late(err):
		return min(maxLate, r.tries())
	}
	return r.tries()
}

func (h *host) unreached() { h.failures.Add(1) }
func (h *host) reached()   { h.failures.Store(0) }

// credentialNote says which credential was used, where one was looked for, or why none
// was.
func (h *host) credentialNote(cred auth.Credential) string {
	if _, asked := h.challenge(); !asked && cred.Anonymous() {
		return fmt.Sprintf("sent without credentials: %s asks neither for a password nor for a token", h.name)
	}
	if cred.Anonymous() {
		return h.transport.options.Credentials.Missing(h.name)
	}
	return cred.Origin()
}

// ready pings the host once, which learns the scheme and the challenge.
//
// If the host cannot be reached, all requests fail at once with the same error.
func (h *host) ready(ctx context.Context) error {
	if over := h.pace.Ended(); over != nil {
		return over
	}
	if h.known.Load() {
		return h.pingErr
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.known.Load() {
		return h.pingErr
	}
	err := h.ping(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h.pingErr = err
	h.known.Store(true)
	return err
}

// givenUp reports whether all requests to the host fail without being sent.
func (h *host) givenUp() bool {
	return h.pace.Ended() != nil || h.known.Load() && h.pingErr != nil
}

// schemes returns the URL schemes to try, in order.
//
// TLS is required unless the host is on loopback or a flag names it.
func (h *host) schemes() []string {
	o := h.transport.options
	switch {
	case slices.Contains(o.PlainHTTP, h.name), slices.Contains(o.PlainHTTP, h.addr):
		return []string{"http"}
	case slices.Contains(o.InsecureTLS, h.name), !image.Loopback(h.name):
		return []string{"https"}
	}
	return []string{"http", "https"}
}

// ping sends GET /v2/, with the first scheme that the host understands.
func (h *host) ping(ctx context.Context) error {
	schemes := h.schemes()
	if len(schemes) > 1 {
		found, resp := h.probe(ctx, schemes)
		if resp != nil {
			h.pinged(resp)
			return nil
		}
		schemes = []string{found}
	}
	h.scheme = schemes[0]
	r := &Request{Method: http.MethodGet, Repo: image.NewRepository(h.name, "")}
	resp, err := h.transport.tries(ctx, h, r, func(ctx context.Context) (*http.Response, verdict, error) {
		resp, err := h.pingOnce(ctx, r)
		return resp, again, err
	})
	if withoutTLS(err) {
		return fmt.Errorf("%s answers without TLS (--plain-http=%s allows that): %w", h.name, h.name, err)
	}
	if err != nil {
		return err
	}
	h.pinged(resp)
	return nil
}

// probe tries each scheme once and returns the one that the host understands.
//
// The response is nil if it cannot be used for the ping. If no scheme worked, probe
// returns the first.
func (h *host) probe(ctx context.Context, schemes []string) (scheme string, answer *http.Response) {
	var refused *http.Response // the answer 400 to plain HTTP
	for _, scheme := range schemes {
		h.scheme = scheme
		resp, err := h.pingOnce(ctx, &Request{Method: http.MethodGet, Repo: image.NewRepository(h.name, "")})
		switch {
		case err != nil && (unsent(err) || ctx.Err() != nil):
			return schemes[0], nil // it does not listen: another scheme would not help
		case refused != nil && withoutTLS(err):
			h.scheme = schemes[0]
			return schemes[0], refused
		case err != nil:
		case scheme == "http" && resp.StatusCode == http.StatusBadRequest: // TLS servers answer that to plain HTTP
			discard(resp)
			refused = resp
		case retryStatus(resp.StatusCode):
			discard(resp)
			return scheme, nil
		default:
			return scheme, resp
		}
	}
	if refused != nil {
		return schemes[1], nil
	}
	return schemes[0], nil
}

// pingOnce sends one ping.
func (h *host) pingOnce(ctx context.Context, r *Request) (*http.Response, error) {
	req, err := r.build(ctx, h, h.transport.options.UserAgent)
	if err != nil {
		return nil, err
	}
	slot, err := h.pace.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	return h.transport.send(h, req, slot, r)
}

// pinged reads the response to a ping.
//
// After a redirect, the challenges of the other host are ignored.
func (h *host) pinged(resp *http.Response) {
	if h.answered(resp) {
		h.challenges = auth.ParseChallenges(resp.Header)
		h.insecure(h.challenges)
		h.closed = resp.StatusCode == http.StatusUnauthorized
	}
	discard(resp)
}

// at reports whether a URL is on the host itself.
func (h *host) at(u *url.URL) bool {
	return sameOrigin(u, &url.URL{Scheme: h.scheme, Host: h.addr})
}

// answered reports whether the host itself gave an answer.
//
// It did not if another host answered after a redirect, or led the request back: an
// address that another host has chosen may name any token server.
func (h *host) answered(resp *http.Response) bool {
	for ; resp != nil; resp = resp.Request.Response {
		if !h.at(resp.Request.URL) {
			return false
		}
	}
	return true
}

// sameOrigin reports whether two URLs have the same scheme, name and port.
func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && SameHost(a, b) }

// insecure marks the challenges of a host without TLS.
//
// Only those may name a token server without TLS.
func (h *host) insecure(cs []auth.Challenge) {
	for i := range cs {
		cs[i].Insecure = h.scheme == "http"
	}
}

// challenge returns the preferred challenge: bearer before basic.
func (h *host) challenge() (auth.Challenge, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, scheme := range []string{"bearer", "basic"} {
		for _, c := range h.challenges {
			if c.Scheme == scheme {
				return c, true
			}
		}
	}
	return auth.Challenge{}, false
}

// learn stores the challenges of a response, if any.
func (h *host) learn(resp *http.Response) {
	cs := auth.ParseChallenges(resp.Header)
	if len(cs) == 0 {
		return // gcr.io refuses without a challenge; the one of the ping remains valid
	}
	h.insecure(cs)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.challenges = cs
}

// refuse stores that the token server refused p's credential.
//
// It is not sent again, because Docker Hub locks an account after a few refusals.
func (h *host) refuse(p auth.Principal, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusals[p] = err
}

func (h *host) refusal(p auth.Principal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refusals[p]
}
