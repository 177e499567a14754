package registry_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// passwords counts requests by password and refuses wrong passwords.
type passwords struct {
	right  func(r *http.Request, user, password string) bool
	mu     sync.Mutex
	counts map[string]int
}

func (p *passwords) fault(w http.ResponseWriter, r *http.Request, next http.Handler) {
	user, password, ok := r.BasicAuth()
	p.mu.Lock()
	if p.counts == nil {
		p.counts = map[string]int{}
	}
	p.counts[password]++
	p.mu.Unlock()
	if ok && p.right(r, user, password) || !ok && strings.HasPrefix(r.URL.Path, "/v2/public") {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// resolveAll resolves a tag in many repositories concurrently.
func resolveAll(t *testing.T, c *registry.Client, s *registrytest.Server, path string) (present int, errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, state, err := c.Resolve(t.Context(), repo(s, fmt.Sprintf("%s%d", path, i)), "1")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			}
			if state == inventory.Present {
				present++
			}
		})
	}
	wg.Wait()
	return present, errs
}

func pushAll(t *testing.T, s *registrytest.Server, path string) {
	t.Helper()
	for i := range 20 {
		s.Push(t, fmt.Sprintf("%s%d", path, i), registrytest.Image(1, 1), "1")
	}
}

// A wrong password is sent twice in a run, even by concurrent requests. More could lock the account.
func TestRefusedPasswordIsTriedTwice(t *testing.T) {
	for name, open := range map[string]bool{"a host that is closed": false, "a host with public repositories": true} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t)
			p := &passwords{right: func(*http.Request, string, string) bool { return false }}
			if open {
				s.Fault(p.fault, func(r *http.Request) bool { return r.URL.Path != "/v2/" })
			} else {
				s.Fault(p.fault)
			}
			dockerConfig(t, s.Host, "me", "planted-secret")
			pushAll(t, s, "public")
			c := newClient(t, registry.Options{})
			named := 0
			for range 2 {
				_, errs := resolveAll(t, c, s, "r")
				for _, err := range errs {
					if strings.Contains(err.Error(), "the password was refused and is not sent again") {
						named++
					}
					if !strings.HasPrefix(err.Error(), "401 ") || strings.Contains(err.Error(), "planted") {
						t.Errorf("got %v, want 401 first, and not the secret", err)
					}
				}
				if len(errs) != 20 {
					t.Errorf("%d errors, want 20", len(errs))
				}
			}
			if named < 39 { // the first of an open host may have no second try
				t.Errorf("errors that name the cause: got %d of 40, want 39 or more", named)
			}
			if n := p.counts["planted-secret"]; n != 2 {
				t.Errorf("the password was sent %d times, want 2\n%s", n, s.Summary())
			}
			if !open {
				if n := len(s.Requests()); n != 3 {
					t.Errorf("%d requests, want a ping and two tries", n)
				}
				return
			}
			if n, errs := resolveAll(t, c, s, "public"); n != 20 {
				t.Errorf("got %d public repositories, %v, want 20", n, errs)
			}
		})
	}
}

// After one success, all requests use the password, even after later refusals.
func TestAcceptedPasswordKeepsItsRetry(t *testing.T) {
	s := registrytest.New(t)
	var refuse atomic.Bool
	p := &passwords{right: func(*http.Request, string, string) bool { return !refuse.Swap(false) }}
	s.Fault(p.fault)
	s.Fault(registrytest.Status(503, nil, ""), registrytest.Is(registrytest.ManifestHead), registrytest.First(3))
	dockerConfig(t, s.Host, "me", "secret")
	pushAll(t, s, "r")
	c := newClient(t, registry.Options{})
	for i := range 5 {
		refuse.Store(i > 0)
		if n, errs := resolveAll(t, c, s, "r"); n != 20 {
			t.Errorf("run %d: got %d present, %v, want 20", i, n, errs)
		}
	}
	if n := p.counts["secret"]; n != 100+3+4 {
		t.Errorf("the password was sent %d times, want 107", n)
	}
	refuse.Store(true)
	p.right = func(r *http.Request, _, _ string) bool { return !strings.HasPrefix(r.URL.Path, "/v2/r1/") }
	if n, errs := resolveAll(t, c, s, "r"); n != 19 || len(errs) != 1 {
		t.Errorf("one repository refused: got %d present, %v, want 19 and one error", n, errs)
	}
}

// The accounts of a host are independent.
func TestOneRefusedAccountOfTwo(t *testing.T) {
	s := registrytest.New(t)
	p := &passwords{right: func(_ *http.Request, _, password string) bool { return password == "right" }}
	s.Fault(p.fault)
	var entries []string
	for place, password := range map[string]string{s.Host: "wrong", s.Host + "/team": "right"} {
		entries = append(entries, fmt.Sprintf(`%q:{"auth":%q}`, place, base64.StdEncoding.EncodeToString([]byte("me:"+password))))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths":{`+strings.Join(entries, ",")+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	pushAll(t, s, "team/r")
	c := newClient(t, registry.Options{})
	if n, errs := resolveAll(t, c, s, "r"); n != 0 || len(errs) != 20 {
		t.Errorf("r: got %d present, %v, want 0 and 20 errors", n, errs)
	}
	if n, errs := resolveAll(t, c, s, "team/r"); n != 20 {
		t.Errorf("team/r: got %d present, %v, want 20", n, errs)
	}
	if p.counts["wrong"] != 2 || p.counts["right"] != 20 {
		t.Errorf("got passwords sent %v, want wrong 2 and right 20", p.counts)
	}
}

// Requests that waited for the first answer then run concurrently.
func TestAcceptedPasswordIsCarriedByAllAtOnce(t *testing.T) {
	s := registrytest.New(t, registrytest.BasicAuth("me", "secret"))
	dockerConfig(t, s.Host, "me", "secret")
	pushAll(t, s, "r")
	var asked atomic.Int32
	all := make(chan struct{})
	s.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch asked.Add(1) {
		case 1: // answered alone
		case 6: // five are there at once; the pace begins with ten
			close(all)
		default:
			select {
			case <-all:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	}, registrytest.Is(registrytest.ManifestHead))
	c := newClient(t, registry.Options{})
	if n, errs := resolveAll(t, c, s, "r"); n != 20 || asked.Load() != 20 {
		t.Errorf("got %d present after %d requests, %v, want 20 after 20", n, asked.Load(), errs)
	}
}
