package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// googleServer is a fake of Google's token server.
type googleServer struct {
	server *httptest.Server
	key    string
	token  string // the token to return; "": numbered tokens

	mu     sync.Mutex
	issued int
	refuse bool
}

// fakeGoogle starts a fake of Google's token server.
func fakeGoogle(t *testing.T) *googleServer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024) // short, so that the test is fast
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	g := &googleServer{key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		email := issuer(r.FormValue("assertion"))
		if g.refuse || email == "" || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"Invalid JWT\u001b[31m"}`)
			return
		}
		g.issued++
		token := g.token
		if token == "" {
			token = fmt.Sprintf("%s-%d", email, g.issued)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token)
	}))
	t.Cleanup(g.server.Close)
	return g
}

// issuer returns the issuer of an assertion, or "" if the assertion is wrong.
func issuer(assertion string) string {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct{ Iss, Scope string }
	if json.Unmarshal(claims, &c) != nil || c.Scope != googleScope {
		return ""
	}
	return c.Iss
}

// file writes a key file for an account.
func (g *googleServer) file(t *testing.T, email string) string {
	t.Helper()
	return write(t, t.TempDir(), "key.json", g.json(t, email))
}

// json returns a key file's content.
func (g *googleServer) json(t *testing.T, email string) string {
	t.Helper()
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": email, "private_key": g.key, "private_key_id": "id", "token_uri": g.server.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAccountTokens(t *testing.T) {
	home := cleanEnv(t)
	write(t, home, ".docker/config.json", `{"auths":{"gcr.io":{"auth":"`+basic("me", "docker")+`"}}}`)
	at, g := newClock(), fakeGoogle(t)
	s := testStore(t, Options{
		KeyFiles:   []string{g.file(t, "one@p"), g.file(t, "two@p")},
		HTTPClient: g.server.Client(), Now: at.now,
	})
	one := find(t, s, "gcr.io", "p/a", "one@p")
	if one.Username != "oauth2accesstoken" || one.Password != "one@p-1" {
		t.Errorf("got %q and %q, want oauth2accesstoken and one@p-1", one.Username, one.Password)
	}
	if left := one.Expires.Sub(at.now()); left < 59*time.Minute || left > time.Hour {
		t.Errorf("got a lifetime of %v, want about an hour", left)
	}
	if two := find(t, s, "gcr.io", "p/b", "two@p"); two.Password != "two@p-2" {
		t.Errorf("other account on the same host: got %q, want two@p-2", two.Password)
	}
	if again := find(t, s, "eu.gcr.io", "p/a", "one@p"); again.Password != "one@p-1" {
		t.Errorf("same account on another host: got %q, want one@p-1", again.Password)
	}
	if other := find(t, s, "gcr.io", "p/c", "three@p"); other.Password != "docker" {
		t.Errorf("account without a key: got %q, want docker", other.Password)
	}
	at.advance(56 * time.Minute)
	renewed := find(t, s, "gcr.io", "p/a", "one@p")
	if renewed.Password != "one@p-3" {
		t.Errorf("before the expiry: got %q, want the renewed one@p-3", renewed.Password)
	}
	if got := find(t, s, "eu.gcr.io", "p/a", "one@p").Password; got != "one@p-3" {
		t.Errorf("another host: got %q, want the renewed one@p-3", got)
	}
	s.Forget(s.Principal("gcr.io", "p/a", "one@p"), renewed)
	if got := find(t, s, "gcr.io", "p/a", "one@p").Password; got != "one@p-4" {
		t.Errorf("after Forget: got %q, want one@p-4", got)
	}
}

func TestAccountTokenIsOnlyForGoogle(t *testing.T) {
	cleanEnv(t)
	g := fakeGoogle(t)
	var warned []string
	s := testStore(t, Options{
		KeyFiles: []string{g.file(t, "one@p")}, HTTPClient: g.server.Client(), Warn: func(w string) { warned = append(warned, w) },
	})
	for _, host := range []string{"registry.example.com", "gcr.io.example.com", "docker.io"} {
		if c := find(t, s, host, "p/a", "one@p"); !c.Anonymous() {
			t.Errorf("%s: got %v, want anonymous", host, c)
		}
	}
	if c := find(t, s, "localhost:5000", "p/a", "one@p"); c.Anonymous() {
		t.Errorf("localhost: got %v, want the token of the account", c)
	}
	if len(warned) != 3 {
		t.Errorf("got warnings %q, want 3", warned)
	}
}

func TestNoServiceAccountIgnoresAccounts(t *testing.T) {
	home := cleanEnv(t)
	write(t, home, ".docker/config.json", `{"auths":{"gcr.io":{"auth":"`+basic("me", "docker")+`"}}}`)
	g := fakeGoogle(t)
	s := testStore(t, Options{KeyFiles: []string{g.file(t, "one@p")}, NoServiceAccount: true})
	if c := find(t, s, "gcr.io", "p/a", "one@p"); c.Password != "docker" {
		t.Errorf("got password %q, want docker", c.Password)
	}
}

func TestAccountRefused(t *testing.T) {
	cleanEnv(t)
	g := fakeGoogle(t)
	g.refuse = true
	s := testStore(t, Options{KeyFiles: []string{g.file(t, "one@p")}, HTTPClient: g.server.Client()})
	_, err := s.Credential(t.Context(), s.Principal("gcr.io", "p/a", "one@p"))
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Status != http.StatusBadRequest {
		t.Fatalf("got error %v, want a *RefusedError with status 400", err)
	}
	for _, want := range []string{"finding credentials for gcr.io", `"one@p"`, "key.json", `Invalid JWT\x1b[31m`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want one with %q", err, want)
		}
	}
}

func TestKeyFileErrors(t *testing.T) {
	cleanEnv(t)
	g := fakeGoogle(t)
	good := g.json(t, "one@p")
	const secret = "planted-secret"
	dir := t.TempDir()
	for _, test := range []struct{ name, content, want string }{
		{"not JSON", secret, "not JSON at byte 1"},
		{"wrong type", `{"type":"service_account","private_key":["` + secret + `"]}`, "wrong JSON type"},
		{"another kind", `{"type":"authorized_user","refresh_token":"` + secret + `"}`, `"type" is not "service_account"`},
		{"no account", strings.Replace(good, `"one@p"`, `""`, 1), `no "client_email"`},
		{"no endpoint", strings.Replace(good, g.server.URL, "", 1), `no "token_uri"`},
		{"no PEM", `{"type":"service_account","client_email":"a","token_uri":"b","private_key":"` + secret + `"}`, `"private_key" is not an RSA key`},
		{"no key", `{"type":"service_account","client_email":"a","token_uri":"b","private_key":"-----BEGIN PRIVATE KEY-----\ncGxhbnRlZA==\n-----END PRIVATE KEY-----\n"}`, `"private_key" is not an RSA key`},
		{"too large", strings.Repeat(" ", maxFile+1), "larger than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, dir, "bad.json", test.content)
			_, err := NewStore(Options{KeyFiles: []string{file}})
			if err == nil || !strings.Contains(err.Error(), "reading key file "+file+": ") || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with the file and %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("got error %v, want none with the content of the file", err)
			}
		})
	}
	missing, twice, again := dir+"/missing.json", g.file(t, "one@p"), g.file(t, "one@p")
	_, err := NewStore(Options{KeyFiles: []string{missing, twice, again}})
	for _, want := range []string{missing + ": no such file", "reading key file " + again + ": " + twice + ` holds a key for "one@p" too`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want all errors at once, with %q", err, want)
		}
	}
}
