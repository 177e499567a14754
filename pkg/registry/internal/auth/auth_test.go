package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cleanEnv hides the configuration of this machine and returns an empty home directory.
func cleanEnv(t *testing.T) (home string) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{
			"AWS_", "AZURE_", "DOCKER_", "GITHUB_", "GOOGLE_", "GCE_", "CLOUDSDK_",
			"IDENTITY_", "IMDS_", "MSI_", "REGISTRY_", "XDG_",
		} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	home = t.TempDir()
	t.Setenv("HOME", home)
	return home
}

// noNetwork is a transport that records requests and sends none.
type noNetwork struct {
	mu   sync.Mutex
	seen []string
}

func (n *noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, r.Method+" "+r.URL.Host+r.URL.Path)
	return nil, errors.New("no network in tests")
}

// testStore returns a store on a machine that belongs to no cloud.
//
// It has no network unless the options give one.
func testStore(t *testing.T, o Options) *Store {
	t.Helper()
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Transport: &noNetwork{}}
	}
	if o.Warn == nil {
		o.Warn = func(text string) { t.Errorf("unexpected warning: %s", text) }
	}
	s, err := NewStore(o)
	if err != nil {
		t.Fatal(err)
	}
	s.firmware = t.TempDir()
	return s
}

// find returns the credential for a repository.
func find(t *testing.T, s *Store, host, path, account string) Credential {
	t.Helper()
	c, err := s.Credential(t.Context(), s.Principal(host, path, account))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write writes a file below dir and returns its name.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// basic returns the "auth" of a configuration.
func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// clock is a clock that only advance moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// warnings collects the warnings of a store.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.texts, "\n")
}

func TestNothingConfiguredIsAnonymousWithoutNetwork(t *testing.T) {
	cleanEnv(t)
	net := &noNetwork{}
	s := testStore(t, Options{HTTPClient: &http.Client{Transport: net}})
	for _, host := range []string{
		"registry.example.com", "docker.io", "ghcr.io", "quay.io", "localhost:5000", "x.azurecr.io",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "public.ecr.aws",
	} {
		if c := find(t, s, host, "a/b", "nobody@example.com"); !c.Anonymous() {
			t.Errorf("%s: got %v, want anonymous", host, c)
		}
	}
	if len(net.seen) > 0 {
		t.Errorf("got requests %q, want none", net.seen)
	}
	for _, host := range []string{"gcr.io", "eu.gcr.io", "europe-docker.pkg.dev"} {
		if c := find(t, s, host, "a/b", ""); !c.Anonymous() {
			t.Errorf("%s: got %v, want anonymous", host, c)
		}
	}
	if len(net.seen) != 1 {
		t.Errorf("got requests %q, want one to the metadata server for the whole run", net.seen)
	}
}

func TestNoAmbientAsksNoCloud(t *testing.T) {
	cleanEnv(t)
	t.Setenv("GITHUB_TOKEN", "ghs_token")
	net := &noNetwork{}
	s := testStore(t, Options{NoAmbient: true, HTTPClient: &http.Client{Transport: net}})
	for _, host := range []string{"ghcr.io", "gcr.io"} {
		if c := find(t, s, host, "a/b", ""); !c.Anonymous() {
			t.Errorf("%s: got %v, want anonymous", host, c)
		}
	}
	if len(net.seen) > 0 {
		t.Errorf("got requests %q, want none", net.seen)
	}
}

func TestGHCRUsesTheWorkflowToken(t *testing.T) {
	cleanEnv(t)
	t.Setenv("GITHUB_TOKEN", "ghs_token")
	t.Setenv("GITHUB_ACTOR", "octocat")
	s := testStore(t, Options{})
	want := Credential{Username: "octocat", Password: "ghs_token", Kind: "GitHub identity"}
	if got := find(t, s, "ghcr.io", "o/r", ""); got != want {
		t.Errorf("got %v, want GITHUB_ACTOR and GITHUB_TOKEN", got)
	}
	for _, host := range []string{"quay.io", "ghcr.io:5000"} {
		if got := find(t, s, host, "o/r", ""); !got.Anonymous() {
			t.Errorf("%s: got %v, want anonymous", host, got)
		}
	}
	t.Setenv("GITHUB_ACTOR", "")
	if got := find(t, testStore(t, Options{}), "ghcr.io", "o/r", ""); got.Username == "" || got.Password != "ghs_token" {
		t.Errorf("without GITHUB_ACTOR: got %v, want GITHUB_TOKEN with some name", got)
	}
}

func TestDockerConfigurationComesBeforeTheCloud(t *testing.T) {
	home := cleanEnv(t)
	t.Setenv("GITHUB_TOKEN", "ghs_token")
	write(t, home, ".docker/config.json", `{"auths":{"ghcr.io":{"auth":"`+basic("me", "pat")+`"}}}`)
	if got, want := find(t, testStore(t, Options{}), "ghcr.io", "o/r", ""), (Credential{Username: "me", Password: "pat", Kind: "docker config", From: "~/.docker/config.json"}); got != want {
		t.Errorf("got %v, want the credential of the Docker configuration", got)
	}
}

// An account without a key file is not used. The store logs that once.
func TestAccountWithoutKey(t *testing.T) {
	cleanEnv(t)
	for _, ignored := range []bool{false, true} {
		var logged []string
		s := testStore(t, Options{NoServiceAccount: ignored, Debug: func(text string) { logged = append(logged, text) }})
		for range 2 {
			s.Principal("gcr.io", "p/app", "a@b")
		}
		var want []string
		if !ignored {
			want = []string{`no key file holds service account "a@b": gcr.io is used without it`}
		}
		if diff := cmp.Diff(want, logged); diff != "" {
			t.Errorf("ignored %t (-want +got):\n%s", ignored, diff)
		}
	}
}

func TestPrincipals(t *testing.T) {
	home := cleanEnv(t)
	write(t, home, ".docker/config.json", `{
		"auths": {"quay.io/org": {"auth": "`+basic("org", "1")+`"}, "quay.io/org/team/": {"auth": "`+basic("team", "2")+`"}, "quay.io/empty": {}},
		"credHelpers": {"quay.io/helped": "x"}}`)
	keys := fakeGoogle(t)
	s := testStore(t, Options{KeyFiles: []string{keys.file(t, "promoter@p.iam.gserviceaccount.com")}})
	for _, test := range []struct {
		name, host, path, account string
		want                      Principal
	}{
		{"host alone", "quay.io", "other/app", "", Principal{"quay.io", "quay.io"}},
		{"path with an entry", "quay.io", "org/app", "", Principal{"quay.io", "quay.io/org"}},
		{"the entry's path itself", "quay.io", "org", "", Principal{"quay.io", "quay.io/org"}},
		{"longest path wins", "quay.io", "org/team/app", "", Principal{"quay.io", "quay.io/org/team"}},
		{"elements are whole", "quay.io", "organic/app", "", Principal{"quay.io", "quay.io"}},
		{"helper of a path", "quay.io", "helped/app", "", Principal{"quay.io", "quay.io/helped"}},
		{"an empty entry is none", "quay.io", "empty/app", "", Principal{"quay.io", "quay.io"}},
		{"case of the host", "QUAY.io", "org/app", "", Principal{"quay.io", "quay.io/org"}},
		{"Docker Hub's names", "registry-1.docker.io", "library/app", "", Principal{"index.docker.io", "index.docker.io"}},
		{"account with a key", "gcr.io", "p/app", "promoter@p.iam.gserviceaccount.com",
			Principal{"gcr.io", "account:promoter@p.iam.gserviceaccount.com"}},
		{"account without a key", "quay.io", "org/app", "other@p.iam.gserviceaccount.com", Principal{"quay.io", "quay.io/org"}},
		{"empty path", "quay.io", "", "", Principal{"quay.io", "quay.io"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, s.Principal(test.host, test.path, test.account)); diff != "" {
				t.Errorf("principal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestZeroPrincipalKeyIsTheHost(t *testing.T) {
	home := cleanEnv(t)
	write(t, home, ".docker/config.json", `{"auths":{"quay.io":{"auth":"`+basic("me", "x")+`"}}}`)
	c, err := testStore(t, Options{}).Credential(t.Context(), Principal{Host: "quay.io"})
	if err != nil || c.Username != "me" {
		t.Errorf("got %v, error %v; want the credential of the host", c, err)
	}
}

func TestAccountWithoutKeyIsAnError(t *testing.T) {
	cleanEnv(t)
	_, err := testStore(t, Options{}).Credential(t.Context(), Principal{Host: "gcr.io", Key: "account:a@b"})
	if err == nil || !strings.Contains(err.Error(), `no key file holds the account "a@b"`) {
		t.Errorf("got error %v, want one about the missing account", err)
	}
}

func TestClientsFollowNoRedirects(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			t.Error("got a request after the redirect, want none")
		}
		http.Redirect(w, r, "/away", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(srv.Close)
	for _, base := range []*http.Client{nil, http.DefaultClient} {
		c := client(base, linkTimeout, nil)
		if c.Timeout != linkTimeout {
			t.Errorf("got timeout %v, want %v", c.Timeout, linkTimeout)
		}
		resp, err := c.Post(srv.URL, "text/plain", strings.NewReader("secret"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("got status %d, want %d", resp.StatusCode, http.StatusTemporaryRedirect)
		}
	}
}

func TestTimeoutOfLookUpIsNotTheCallers(t *testing.T) {
	cleanEnv(t)
	g := fakeGoogle(t)
	s := testStore(t, Options{KeyFiles: []string{g.file(t, "a@b")}, HTTPClient: &http.Client{Transport: &deadlines{}}})
	_, err := s.Credential(t.Context(), s.Principal("gcr.io", "p/a", "a@b"))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want one that does not wrap context.DeadlineExceeded", err)
	}
}
