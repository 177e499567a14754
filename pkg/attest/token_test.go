package attest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
)

// everywhere returns a transport that sends requests for all hosts to one server.
func everywhere(t *testing.T, handle http.HandlerFunc) *http.Transport {
	t.Helper()
	s := httptest.NewTLSServer(handle)
	t.Cleanup(s.Close)
	client, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatalf("got %T, want a transport", s.Client().Transport)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		},
		TLSClientConfig: &tls.Config{RootCAs: client.TLSClientConfig.RootCAs, ServerName: "example.com", MinVersion: tls.VersionTLS12},
	}
}

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// The first identity that is there is used.
func TestOrderOfIdentities(t *testing.T) {
	t.Parallel()
	const actionsToken = "a secret of GitHub"
	web := everywhere(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "github.example.com" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("v") != "1" || r.Header.Get("Authorization") != "Bearer "+actionsToken {
			http.Error(w, "odd request", http.StatusTeapot)
			return
		}
		fmt.Fprint(w, `{"value":"of actions"}`)
	})
	file := func() ([]byte, error) { return []byte(" of file\n"), nil }
	sigstore := []string{"SIGSTORE_ID_TOKEN", "of variable"}
	actions := []string{"ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example.com/token?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", actionsToken}
	for name, tc := range map[string]struct {
		i    attest.Identities
		want string
	}{
		"file":     {attest.Identities{File: file, Getenv: env(append(sigstore, actions...)...), Account: "a@b.c"}, "of file"},
		"variable": {attest.Identities{Getenv: env(append(sigstore, actions...)...), Account: "a@b.c"}, "of variable"},
		"actions":  {attest.Identities{Getenv: env(actions...), Account: "a@b.c", Web: web}, "of actions"},
	} {
		get, err := tc.i.Token()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := get(t.Context()); got != tc.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, tc.want)
		}
	}
	if _, err := (attest.Identities{Getenv: env(actions[:2]...)}).Token(); !errors.Is(err, attest.ErrNoIdentity) {
		t.Errorf("without the permission: got %v, want %v", err, attest.ErrNoIdentity)
	}
}

func TestTokenOfActionsFails(t *testing.T) {
	t.Parallel()
	const secret = "a secret of GitHub"
	for name, tc := range map[string]struct {
		handle http.HandlerFunc
		want   string
	}{
		"refused": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusForbidden)
		}, "github.example.com answered 403 Forbidden"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example.com/", http.StatusFound)
		}, "redirect"},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, secret) }, "not JSON"},
	} {
		i := attest.Identities{
			Getenv: env("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example.com/token?key="+secret[:3], "ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret),
			Web:    everywhere(t, tc.handle),
		}
		get, err := i.Token()
		if err != nil {
			t.Fatal(err)
		}
		if _, err = get(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "key=") {
			t.Errorf("%s: got %v, want %q without secrets", name, err, tc.want)
		}
	}
}

// Google is asked for a token of the account, with the application default credentials.
func TestTokenOfGoogle(t *testing.T) {
	const account = "promoter@project.iam.gserviceaccount.com"
	credentials := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(credentials, []byte(`{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials)
	var status atomic.Int32
	status.Store(http.StatusOK)
	web := everywhere(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			t.Error(err)
		case r.Host == "oauth2.googleapis.com":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"access","token_type":"Bearer","expires_in":3600}`)
		case r.URL.Path != "/v1/projects/-/serviceAccounts/"+account+":generateIdToken" || r.Header.Get("Authorization") != "Bearer access" ||
			string(body) != `{"audience":"sigstore","includeEmail":true}`:
			t.Errorf("got %s %s with %s, want a request for the account's token", r.Host, r.URL.Path, body)
		default:
			w.WriteHeader(int(status.Load()))
			fmt.Fprint(w, `{"token":"of google"}`)
		}
	})
	get, err := attest.Identities{Account: account, Getenv: env(), Web: web}.Token()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t.Context()); got != "of google" || err != nil {
		t.Errorf("got %q, %v, want the token", got, err)
	}
	status.Store(http.StatusForbidden)
	if _, err := get(t.Context()); err == nil || !strings.Contains(err.Error(), "getting a token of "+account) || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v, want the refusal", err)
	}
	if err := os.Remove(credentials); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context()); err == nil || !strings.Contains(err.Error(), "no application default credentials") {
		t.Errorf("got %v, want it to say that there are no credentials", err)
	}
}

// A service that fails for the moment is asked again.
func TestServicesAreAskedAgain(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	web := everywhere(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"value":"of actions"}`)
	})
	get, err := attest.Identities{Web: web, Getenv: env("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example.com/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")}.Token()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t.Context()); got != "of actions" || err != nil || n.Load() != 2 {
		t.Errorf("got %q, %v after %d requests, want the token after 2", got, err, n.Load())
	}
}
