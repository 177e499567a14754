package registrytest

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	olaregconfig "github.com/olareg/olareg/config"
)

// Server is a registry on loopback whose requests are recorded and may be made to fail.
type Server struct {
	Host string // host:port
	URL  string // scheme://host:port, no slash at the end

	http      *httptest.Server
	listener  *listener
	store     *store
	tokens    *tokens // nil without TokenAuth
	record    record
	faults    faults
	closeOnce sync.Once
	cancel    context.CancelFunc
}

// New starts a registry that lives as long as t.
func New(t TB, opts ...Option) *Server {
	t.Helper()
	c := newConfig(opts)
	if c.permissive {
		return start(t, c, newStore(permissive(c)))
	}
	backend := strict(c)
	// Registered before the server's own cleanup, so run after it: olareg must outlive its requests.
	t.Cleanup(func() {
		if err := backend.Close(); err != nil {
			t.Errorf("closing olareg: %v", err)
		}
	})
	st := newStore(backend)
	st.oneByOne = true
	return start(t, c, st)
}

// Storage starts a second server over the same content, as blob storage behind redirects is.
// It has its own host, record, faults and options, and none of s's.
func (s *Server) Storage(t TB, opts ...Option) *Server {
	t.Helper()
	return start(t, newConfig(opts), s.store)
}

func strict(c *config) *olareg.Server {
	enabled, referrers := true, !c.noReferrers
	conf := olaregconfig.Config{}
	conf.Storage.StoreType = olaregconfig.StoreMem
	conf.Storage.GC.Frequency = -1     // nothing may vanish while a test looks
	conf.Storage.GC.RepoUploadMax = -1 // leaked upload sessions are to be seen, not pruned
	conf.API.DeleteEnabled = &enabled
	conf.API.Blob.DeleteEnabled = &enabled
	conf.API.Referrer.Enabled = &referrers
	conf.API.Manifest.SparseIndex = &c.sparse
	conf.API.Manifest.SparseImage = &c.sparse
	return olareg.New(conf)
}

func permissive(c *config) http.Handler {
	return registry.New(
		registry.WithReferrersSupport(!c.noReferrers),
		registry.Logger(discardLog()),
	)
}

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// start puts the layers around st in the order the package comment gives.
func start(t TB, c *config, st *store) *Server {
	t.Helper()
	s := &Server{store: st, tokens: c.tokens}
	s.record.init()
	h := c.viewed(st)
	if c.auth != nil {
		h = c.auth.around(h)
	}
	if c.latency > 0 {
		s.Fault(Delay(c.latency))
	}
	s.http = httptest.NewUnstartedServer(s.recorded(s.injected(h)))
	s.listener = listen(s.http.Listener, c)
	s.http.Listener = s.listener
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.http.Config.ErrorLog = discardLog() // aborted handlers are wanted here; other panics go to the record
	s.http.EnableHTTP2 = c.http2
	if c.tls {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL
	s.Host = s.http.Listener.Addr().String()
	t.Cleanup(s.Close)
	return s
}

// Close stops listening, releases hanging requests, breaks their connections and waits for their handlers,
// so that the record is complete. net/http itself waits only for handlers of HTTP/1.1.
// The content stays readable through the unrecorded methods until the test ends.
func (s *Server) Close() {
	s.closeOnce.Do(func() {
		s.cancel()
		s.http.CloseClientConnections()
		s.http.Close()
		s.record.awaitIdle()
	})
}

// Client returns an HTTP client that trusts the server's certificate.
func (s *Server) Client() *http.Client { return s.http.Client() }

// CAFile writes the server's certificate to a PEM file and returns its path.
func (s *Server) CAFile(t TB) string {
	t.Helper()
	cert := s.http.Certificate()
	if cert == nil {
		t.Fatalf("registrytest: a server without TLS has no certificate")
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	return path
}

// Traffic returns the bytes read from and written to all connections, headers and TLS included.
func (s *Server) Traffic() (in, out int64) { return s.listener.in.Load(), s.listener.out.Load() }

// ExpireTokens makes every token handed out so far invalid.
func (s *Server) ExpireTokens() {
	if s.tokens != nil {
		s.tokens.expire()
	}
}

// Repositories returns the sorted names that ever held a manifest.
func (s *Server) Repositories() []string { return s.store.repositories() }
