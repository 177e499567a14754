package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// newClient returns the HTTP client that all hosts share.
func (t *Transport) newClient() (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, pem := range t.options.RootCAs {
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("reading certificates: no PEM certificate in the file")
		}
	}
	base := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            t.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           (t.options.Connections + 1) / 2, // 0: no limit
		MaxIdleConnsPerHost:    192,                             // more than the pace allows in flight
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20, // includes 1xx responses
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 15 * time.Second},
	}
	insecure := base.Clone()
	insecure.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // only for the hosts that the user named
	return &http.Client{
		Transport:     &router{transport: t, verified: base, insecure: insecure, doors: map[string]*door{}},
		CheckRedirect: checkRedirect,
	}, nil
}

// router counts requests and chooses a transport.
//
// One of the transports does not verify certificates.
type router struct {
	transport          *Transport
	verified, insecure *http.Transport

	mu    sync.Mutex
	doors map[string]*door // by scheme, host and port
}

// RoundTrip sends one request.
func (r *router) RoundTrip(req *http.Request) (*http.Response, error) {
	r.transport.count(r.transport.secrets.Redact(req.URL.Host))
	if proxy, err := http.ProxyFromEnvironment(req); err == nil && proxy != nil {
		req = req.WithContext(context.WithValue(req.Context(), proxiedKey{}, true))
	}
	d := r.door(req.URL.Scheme + "://" + req.URL.Host)
	leave, err := d.enter(req.Context())
	if err != nil {
		return nil, err
	}
	defer leave()
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { leave() }}))
	transport := r.verified
	if slices.Contains(r.transport.options.InsecureTLS, req.URL.Host) {
		transport = r.insecure
	}
	began := time.Now()
	resp, err := transport.RoundTrip(req)
	r.transport.log(req, resp, err, time.Since(began))
	return resp, err
}

// door makes the first request to an address connect alone.
//
// The connection may be one of HTTP/2, which all requests then share. Otherwise each of
// them would pay for a handshake.
type door struct {
	turn chan struct{} // held by the request that connects
	mu   sync.Mutex
	used time.Time // when a request last entered or connected
}

// doorIdle is how long a door stays open without a request. Connections live longer.
const doorIdle = time.Minute

func (r *router) door(addr string) *door {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doors[addr] == nil {
		r.doors[addr] = &door{turn: make(chan struct{}, 1)}
	}
	return r.doors[addr]
}

// open reports whether a request has connected, or tried to, and extends the time.
func (d *door) open() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if now.Sub(d.used) > doorIdle {
		return false
	}
	d.used = now
	return true
}

// enter waits while another request connects. The returned function opens the door.
func (d *door) enter(ctx context.Context) (leave func(), err error) {
	if d.open() {
		return func() {}, nil
	}
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.open() {
		<-d.turn
		return func() {}, nil
	}
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.used = time.Now()
		d.mu.Unlock()
		<-d.turn
	}), nil
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (r *router) CloseIdleConnections() {
	r.verified.CloseIdleConnections()
	r.insecure.CloseIdleConnections()
}

// checkRedirect decides whether a redirect is followed.
//
// Credentials are not sent to another host, and no request leaves TLS.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case req.Context().Value(realmKey{}) != nil:
		return http.ErrUseLastResponse // a token request holds a secret, which must not go to another host
	case redirectsWrite(req, first):
		return refused("following a redirect of %s to %s", first.Method, req.URL.Host)
	case len(via) >= 10:
		return refused("following redirects: more than 10")
	case first.URL.Scheme == "https" && req.URL.Scheme != "https":
		return refused("following a redirect to %s: it leaves TLS", req.URL.Host)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return refused("following a redirect: scheme %q", req.URL.Scheme)
	}
	if !sameOrigin(req.URL, first.URL) {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return nil
}

type (
	originKey  struct{}
	proxiedKey struct{}
	realmKey   struct{}
)

// withOrigin records the registry that a request is for.
func withOrigin(ctx context.Context, h *host) context.Context {
	return context.WithValue(ctx, originKey{}, h)
}

// dial connects to an address, unless a registry must not lead us there.
//
// A token server, a redirect or an upload location that a public registry names must
// not be a private address, which only this machine or its network can reach.
func (t *Transport) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	origin, _ := ctx.Value(originKey{}).(*host)
	switch {
	case origin == nil, ctx.Value(proxiedKey{}) != nil:
	case origin.owns(addr):
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			origin.setReach(reachOf(tcp.IP))
		}
		return conn, nil
	default: // Control runs after the DNS look-up and before anything is sent
		d.Control = func(_, at string, _ syscall.RawConn) error {
			if p, err := netip.ParseAddrPort(at); err != nil || reachOf(p.Addr().Unmap().AsSlice()) > origin.getReach() {
				return refused("connecting to %s, where %s sent us: the address is not public", addr, origin.name)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

// reach orders addresses by how few machines can reach them.
type reach int32

const (
	public reach = iota
	private
	loopback
	linkLocal // cloud metadata services have such addresses
)

// carrierGrade is the shared address space of RFC 6598.
//
// The metadata service of one cloud has an address in it.
var carrierGrade = net.IPNet{IP: net.IPv4(100, 64, 0, 0).To4(), Mask: net.CIDRMask(10, 32)}

func reachOf(ip net.IP) reach {
	switch {
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return linkLocal
	case ip.IsLoopback(), ip.IsUnspecified():
		return loopback
	case ip.IsPrivate(), carrierGrade.Contains(ip):
		return private
	}
	return public
}

// redactHeader removes secrets from a response header.
//
// Errors may quote its values. URLs stay complete, because they are followed. Errors
// quote them only after Clean.
func (t *Transport) redactHeader(header http.Header) {
	for name, values := range header {
		if name == "Location" || name == "Link" {
			continue
		}
		for i, v := range values {
			values[i] = t.secrets.Redact(v)
		}
	}
}

// count counts a request to a host.
func (t *Transport) count(host string) {
	if host == dockerHubAddr {
		host = image.DockerHub
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.requests == nil {
		t.requests = map[string]int{}
	}
	t.requests[host]++
}

// Requests returns the number of requests by host.
//
// Pings, token requests and retries are counted too.
func (t *Transport) Requests() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.requests)
}

// Resolve makes the URL of a Location or Link absolute.
//
// base is the URL of the request.
//
// It is an error if the URL leaves TLS or holds user information.
func Resolve(base *url.URL, ref string) (*url.URL, error) {
	u, err := base.Parse(ref)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which may hold upload state
	}
	if err != nil {
		return nil, fmt.Errorf("parsing an address the registry sent: %w", err)
	}
	if u.Scheme != base.Scheme && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, refused("following an address the registry sent to %s", Printable(u.Host, 100))
	}
	return u, nil
}
