package registrytest

import (
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Proxy starts a server in front of an external registry at backendURL, with the
// same record, faults, authentication and views that New offers.
//
// Views that need to know what was put (the catalog, Google's listing, the strict
// tag list) know only what passed through the proxy. Permissive and Sparse are New's alone.
func Proxy(t TB, backendURL string, opts ...Option) *Server {
	t.Helper()
	backend, err := url.Parse(backendURL)
	if err != nil || backend.Host == "" {
		t.Fatalf("registrytest: bad backend URL %q: %v", backendURL, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // bytes and headers pass as they are
	transport.MaxIdleConnsPerHost = 64  // one connection per request in flight, kept
	t.Cleanup(transport.CloseIdleConnections)
	rp := &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(backend)
			pr.SetXForwarded()
			pr.Out.Host = pr.In.Host // so that absolute locations lead back here
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      discardLog(),
		ModifyResponse: func(resp *http.Response) error {
			relateLocation(resp.Header, backend.Host)
			return nil
		},
	}
	return start(t, newConfig(opts), newStore(rp))
}

// relateLocation makes a location on the backend relative, hence one on the proxy.
func relateLocation(h http.Header, backend string) {
	loc, err := url.Parse(h.Get("Location"))
	if err != nil || loc.Host != backend {
		return
	}
	loc.Scheme, loc.Host = "", ""
	h.Set("Location", loc.String())
}
