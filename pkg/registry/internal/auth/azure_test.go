package auth

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeAzure serves Azure's sign-in, a managed identity, and the exchange of all registries.
type fakeAzure struct {
	server *httptest.Server
	mu     sync.Mutex
	asked  []string
	refuse bool
}

func newFakeAzure(t *testing.T) *fakeAzure {
	t.Helper()
	f := &fakeAzure{}
	f.server = httptest.NewTLSServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

// client returns a client that connects to the fake for every host.
func (f *fakeAzure) client() *http.Client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, f.server.Listener.Addr().String())
	}
	return &http.Client{Transport: &http.Transport{
		DialContext: dial,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil //nolint:gosec // the certificate does not have the names of the fake registries
		},
	}}
}

func (f *fakeAzure) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = r.ParseForm()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		base := "https://" + r.Host + "/tenant"
		fmt.Fprintf(w, `{"issuer":"%[1]s/v2.0","token_endpoint":"%[1]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize"}`, base)
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		f.asked = append(f.asked, "sign in "+r.PostForm.Get("client_id")+" "+r.PostForm.Get("scope"))
		if f.refuse {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret."}`)
			return
		}
		fmt.Fprint(w, `{"access_token":"entra-token","expires_in":3600,"token_type":"Bearer"}`)
	case r.URL.Path == "/machine":
		f.asked = append(f.asked, "machine "+r.URL.Query().Get("resource")+" "+r.Header.Get("X-IDENTITY-HEADER"))
		fmt.Fprintf(w, `{"access_token":"entra-token","expires_on":"%d","resource":"r","token_type":"Bearer"}`, time.Now().Add(time.Hour).Unix())
	case r.URL.Path == "/oauth2/exchange":
		f.asked = append(f.asked, "exchange "+r.Host+" "+r.PostForm.Get("service")+" "+r.PostForm.Get("grant_type")+" "+r.PostForm.Get("access_token"))
		if strings.HasPrefix(r.Host, "denied") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no access for entra-token"}]}`)
			return
		}
		claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(3*time.Hour).Unix()))
		fmt.Fprintf(w, `{"refresh_token":"e30.%s.c2ln"}`, claims)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestACR(t *testing.T) {
	cleanEnv(t)
	f := newFakeAzure(t)
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_ID", "app")
	t.Setenv("AZURE_CLIENT_SECRET", "planted-secret")
	t.Setenv("AZURE_AUTHORITY_HOST", f.server.URL)
	at := newClock()
	s := testStore(t, Options{HTTPClient: f.client(), Now: at.now})
	for _, host := range []string{"one.azurecr.io", "two.azurecr.io"} {
		c := find(t, s, host, "a/b", "")
		if c.Username != acrUser || !strings.HasPrefix(c.IdentityToken, "e30.") || c.Password != "" {
			t.Errorf("%s: got %v, want a refresh token", host, c)
		}
		if left := c.Expires.Sub(at.now()); left < 2*time.Hour || left > 3*time.Hour {
			t.Errorf("%s: got a lifetime of %v, want about 3 hours", host, left)
		}
	}
	if c := find(t, s, "one.azurecr.io.evil.com", "a/b", ""); !c.Anonymous() {
		t.Errorf("one.azurecr.io.evil.com: got %v, want anonymous", c)
	}
	want := []string{
		"sign in app openid offline_access profile " + acrScope,
		"exchange one.azurecr.io one.azurecr.io access_token entra-token",
		"exchange two.azurecr.io two.azurecr.io access_token entra-token",
	}
	if len(f.asked) != 3 || !strings.HasPrefix(f.asked[0], "sign in app ") || !strings.Contains(f.asked[0], acrScope) ||
		f.asked[1] != want[1] || f.asked[2] != want[2] {
		t.Errorf("got requests %q, want %q", f.asked, want)
	}
	s2 := s.Principal("denied.azurecr.io", "a", "")
	_, err := s.Credential(t.Context(), s2)
	if err == nil || !strings.Contains(err.Error(), "no access for [redacted]") || strings.Contains(err.Error(), "entra-token") {
		t.Errorf("got error %v, want the refusal of the registry without the token", err)
	}
}

func TestACRWorkloadIdentity(t *testing.T) {
	cleanEnv(t)
	f := newFakeAzure(t)
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_ID", "workload")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", write(t, t.TempDir(), "token", "assertion"))
	t.Setenv("AZURE_AUTHORITY_HOST", f.server.URL)
	s := testStore(t, Options{HTTPClient: f.client()})
	if c := find(t, s, "one.azurecr.io", "a/b", ""); c.IdentityToken == "" || !strings.HasPrefix(f.asked[0], "sign in workload ") {
		t.Errorf("got %v after requests %q, want the token of the workload", c, f.asked)
	}
}

func TestACRManagedIdentity(t *testing.T) {
	cleanEnv(t)
	f := newFakeAzure(t)
	t.Setenv("IDENTITY_ENDPOINT", f.server.URL+"/machine")
	t.Setenv("IDENTITY_HEADER", "header")
	t.Setenv("AZURE_CLIENT_ID", fmt.Sprint(time.Now().UnixNano())) // the SDK caches tokens by identity for the whole process
	s := testStore(t, Options{HTTPClient: f.client()})
	if c := find(t, s, "one.azurecr.io", "a/b", ""); c.IdentityToken == "" || f.asked[0] != "machine https://containerregistry.azure.net header" {
		t.Errorf("got %v after requests %q, want the token of the machine", c, f.asked)
	}
}

func TestACRRefused(t *testing.T) {
	cleanEnv(t)
	f := newFakeAzure(t)
	f.refuse = true
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_ID", "app")
	t.Setenv("AZURE_CLIENT_SECRET", "planted-secret")
	t.Setenv("AZURE_AUTHORITY_HOST", f.server.URL)
	s := testStore(t, Options{HTTPClient: f.client()})
	_, err := s.Credential(t.Context(), s.Principal("one.azurecr.io", "a/b", ""))
	for _, want := range []string{"finding credentials for one.azurecr.io", "signing in to Azure", "AADSTS7000215"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestJWTEnd(t *testing.T) {
	for _, test := range []struct {
		token string
		want  int64
	}{
		{"e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1700000000}`)) + ".x", 1700000000},
		{"e30.e30.x", 0}, {"opaque", 0}, {"a.!.c", 0}, {"a.bm8.c", 0},
	} {
		got := jwtEnd(test.token)
		if test.want == 0 && !got.IsZero() || test.want != 0 && got.Unix() != test.want {
			t.Errorf("%q: got %v, want %d", test.token, got, test.want)
		}
	}
}
