package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"

	"github.com/google/go-cmp/cmp"
)

// tokenServer is a token server that records its requests.
type tokenServer struct {
	*httptest.Server
	asked []string // requests: method, path and query, authorization, form
}

// serveTokens starts a token server without TLS, whose responses come from answer.
func serveTokens(t *testing.T, answer http.HandlerFunc) *tokenServer {
	t.Helper()
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.URL.RequestURI()
		if user, password, ok := r.BasicAuth(); ok {
			line += " basic " + user + ":" + password
		}
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			line += " form " + r.PostForm.Encode()
		}
		s.asked = append(s.asked, line)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// bearer returns a challenge of a registry without TLS.
func bearer(realm string) Challenge {
	return Challenge{Scheme: "bearer", Insecure: true, Params: map[string]string{"realm": realm, "service": "reg.example.com"}}
}

// answerToken answers every request with a token.
func answerToken(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"token":"t0ken","expires_in":300}`)
}

func TestExchangeRequests(t *testing.T) {
	scopes := []string{"repository:a/b:pull,push", "repository:c/d:pull"}
	const query = "scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%2Fd%3Apull&service=reg.example.com"
	postNotFound := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.WriteHeader(status)
				return
			}
			answerToken(w, r)
		}
	}
	const form = "POST /token form client_id=cip&grant_type=refresh_token&refresh_token=i&" +
		"scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%2Fd%3Apull&service=reg.example.com"
	for _, test := range []struct {
		name   string
		path   string
		scopes []string
		cred   Credential
		answer http.HandlerFunc
		want   []string
	}{
		{"anonymous", "/token", scopes, Credential{}, answerToken, []string{"GET /token?" + query}},
		{"name and password", "/token", scopes, Credential{Username: "u", Password: "p"}, answerToken, []string{"GET /token?" + query + " basic u:p"}},
		{"no scopes", "/token", nil, Credential{}, answerToken, []string{"GET /token?service=reg.example.com"}},
		{"query of the realm", "/token?a=b&c", nil, Credential{}, answerToken, []string{"GET /token?a=b&c&service=reg.example.com"}},
		{"service of the realm", "/token?service=x", nil, Credential{}, answerToken, []string{"GET /token?service=x"}},
		{"refresh token", "/token", scopes, Credential{Username: "u", IdentityToken: "i"}, answerToken, []string{form}},
		{"refresh token before password", "/token", scopes, Credential{Username: "u", Password: "p", IdentityToken: "i"}, answerToken, []string{form}},
		{"POST is 404", "/token", scopes, Credential{Username: "u", Password: "p", IdentityToken: "i"}, postNotFound(404),
			[]string{form, "GET /token?" + query + " basic u:p"}},
		{"POST is 405", "/token", scopes, Credential{Username: "u", Password: "p", IdentityToken: "i"}, postNotFound(405),
			[]string{form, "GET /token?" + query + " basic u:p"}},
		{"registry token", "/token", scopes, Credential{RegistryToken: "t0ken"}, answerToken, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := serveTokens(t, test.answer)
			tok, err := Exchange(t.Context(), srv.Client().Do, bearer(srv.URL+test.path), test.scopes, test.cred, &secret.Set{}, time.Now)
			if err != nil || tok.Value != "t0ken" {
				t.Errorf("got token %q, error %v; want t0ken", tok.Value, err)
			}
			if diff := cmp.Diff(test.want, srv.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExchangeAnswers(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		name, body, want string
		life             time.Duration
	}{
		{"token", `{"token":"a","expires_in":300}`, "a", 5 * time.Minute},
		{"access_token", `{"access_token":"b","expires_in":300}`, "b", 5 * time.Minute},
		{"both", `{"access_token":"b","token":"a","expires_in":300}`, "a", 5 * time.Minute},
		{"no expires_in", `{"token":"a"}`, "a", time.Minute},
		{"expires_in is null", `{"token":"a","expires_in":null}`, "a", time.Minute},
		{"zero", `{"token":"a","expires_in":0}`, "a", time.Minute},
		{"negative", `{"token":"a","expires_in":-5}`, "a", time.Minute},
		{"absurd", `{"token":"a","expires_in":1e300}`, "a", 24 * time.Hour},
		{"text", `{"token":"a","expires_in":"120"}`, "a", 2 * time.Minute},
		{"no number", `{"token":"a","expires_in":"NaN"}`, "a", time.Minute},
		{"an object", `{"token":"a","expires_in":{}}`, "a", time.Minute},
		{"issued_at is ignored", `{"token":"a","expires_in":300,"issued_at":"1999-01-01T00:00:00Z"}`, "a", 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := serveTokens(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, test.body) })
			tok, err := Exchange(t.Context(), srv.Client().Do, bearer(srv.URL), nil, Credential{}, &secret.Set{}, func() time.Time { return now })
			if err != nil || tok.Value != test.want {
				t.Errorf("got token %q, error %v; want %q", tok.Value, err, test.want)
			}
			if got := tok.Expires.Sub(now); got != test.life {
				t.Errorf("got a lifetime of %v, want %v", got, test.life)
			}
		})
	}
}

func TestExchangeErrors(t *testing.T) {
	cred := Credential{Username: "user-name", Password: "pass&word", IdentityToken: ""}
	const secretQuery = "state=realm-secret"
	for _, test := range []struct {
		name    string
		status  int
		body    string
		want    string
		refused bool // a *RefusedError; else a *StatusError if the status is not 200
	}{
		{"401", 401, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect\u001b[2J password"}]}`, `401 Unauthorized: "UNAUTHORIZED incorrect\x1b[2J password"`, true},
		{"403", 403, `{"details":"no grant"}`, `grant refused: 403 Forbidden: "no grant"`, true},
		{"400", 400, `{"error":"invalid_grant","error_description":"bad"}`, `400 Bad Request: "invalid_grant bad"`, true},
		{"plain text", 401, "no\x00 way\n", `"no\x00 way"`, true},
		{"long text", 403, strings.Repeat("é", 1000), strings.Repeat("é", 98) + `…"`, true},
		{"echo of the password", 401, "bad pass&word in user-name " + basic("user-name", "pass&word") + " pass%26word", `bad [redacted] in [redacted] [redacted] [redacted]`, true},
		{"echo of the query", 400, "bad " + secretQuery, `bad [redacted]`, true},
		{"404", 404, "", "status 404 Not Found", false},
		{"429", 429, "slow down", "status 429 Too Many Requests", false},
		{"503", 503, "", "status 503 Service Unavailable", false},
		{"redirect", 302, "", "status 302 Found", false},
		{"not JSON", 200, "<html>t0ken</html>", "not JSON at byte 1", false},
		{"two tokens", 200, `{"token":"t0ken","Token":"other"}`, "repeats a key", false},
		{"no token", 200, `{"expires_in":1}`, "it holds no token", false},
		{"token of lines", 200, `{"token":"a\r\nX-Evil: b"}`, "does not fit into a header", false},
		{"huge token", 200, `{"token":"` + strings.Repeat("a", maximumToken+1) + `"}`, "does not fit into a header", false},
		{"huge answer", 200, `{"token":"` + strings.Repeat("a", maxOutput) + `"}`, "longer than", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := serveTokens(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			_, err := Exchange(t.Context(), srv.Client().Do, bearer(srv.URL+"/token?"+secretQuery), []string{"repository:a/b:pull"}, cred, &secret.Set{}, time.Now)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if !strings.Contains(err.Error(), `asking "`+srv.URL+`/token" for a token: `) {
				t.Errorf("got error %q, want one with the server", err)
			}
			for _, secret := range []string{"pass&word", "user-name", "realm-secret", "repository", "t0ken", "X-Evil"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("got error %q, want none with %q", err, secret)
				}
			}
			refused, isRefused := errors.AsType[*RefusedError](err)
			other, isStatus := errors.AsType[*StatusError](err)
			switch {
			case test.refused && (!isRefused || refused.Status != test.status || len(refused.Message) > maxText):
				t.Errorf("got error %#v, want a *RefusedError with status %d", err, test.status)
			case !test.refused && test.status != 200 && (!isStatus || other.Status != test.status):
				t.Errorf("got error %#v, want a *StatusError with status %d", err, test.status)
			}
			if len(srv.asked) != 1 {
				t.Errorf("got %d requests, want 1", len(srv.asked))
			}
		})
	}
}

func TestRefreshTokenIsNotSentAgain(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 500} {
		srv := serveTokens(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, "echo planted-refresh")
		})
		cred := Credential{Username: "u", IdentityToken: "planted-refresh"}
		if status != http.StatusNotFound {
			cred.Password = "p"
		}
		_, err := Exchange(t.Context(), srv.Client().Do, bearer(srv.URL), nil, cred, &secret.Set{}, time.Now)
		if err == nil || len(srv.asked) != 1 {
			t.Errorf("status %d: got %d requests, error %v; want one request and an error", status, len(srv.asked), err)
		}
		if strings.Contains(fmt.Sprint(err), "planted") {
			t.Errorf("got error %v, want none with the token", err)
		}
	}
}

func TestRealms(t *testing.T) {
	for _, test := range []struct {
		realm    string
		insecure bool
		want     string // "": sent
	}{
		{"https://auth.example.com/token", false, ""},
		{"https://auth.example.com/token", true, ""},
		{"http://auth.example.com/token", true, ""},
		{"http://auth.example.com/token", false, "no TLS"},
		{"https://user:planted@auth.example.com/token", false, "user information"},
		{"ftp://auth.example.com/token", false, "not an absolute"},
		{"//auth.example.com/token", false, "not an absolute"},
		{"/token", false, "not an absolute"},
		{"https:///token", false, "not an absolute"},
		{"https:auth.example.com", false, "not an absolute"},
		{"https://auth.example.com/\x1bplanted", false, "not a URL"},
		{"https://[planted/", false, "not a URL"},
		{"", false, "not an absolute"},
		{"http://169.254.169.254/token", true, "this machine's link"},
		{"https://[fe80::1%25eth0]/token", false, "this machine's link"},
		{"https://[::ffff:169.254.169.254]/token", false, "this machine's link"},
		{"https://0.0.0.0/token", false, "this machine's link"},
	} {
		sent := false
		do := func(*http.Request) (*http.Response, error) {
			sent = true
			return nil, &url.Error{Op: "Get", URL: "https://x?planted", Err: errors.New("stop")}
		}
		ch := bearer(test.realm)
		ch.Insecure = test.insecure
		_, err := Exchange(t.Context(), do, ch, []string{"planted"}, Credential{Username: "u", Password: "planted"}, &secret.Set{}, time.Now)
		if err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: got error %v, want one without a secret", test.realm, err)
		}
		if sent != (test.want == "") || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%q: got sent %t, error %v; want sent %t, error %q", test.realm, sent, err, test.want == "", test.want)
		}
	}
}

func TestExchangeWrapsTheTransportError(t *testing.T) {
	do := func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("sending: %w", &url.Error{Op: "Get", URL: r.URL.String(), Err: context.DeadlineExceeded})
	}
	_, err := Exchange(t.Context(), do, bearer("https://a.example.com/token?planted"), nil, Credential{}, &secret.Set{}, time.Now)
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "planted") {
		t.Errorf("got error %v, want the cause without the query", err)
	}
}

func TestExchangeIsForBearerOnly(t *testing.T) {
	_, err := Exchange(t.Context(), nil, Challenge{Scheme: "basic"}, nil, Credential{}, &secret.Set{}, time.Now)
	if err == nil || !strings.Contains(err.Error(), `the challenge is "basic"`) {
		t.Errorf("got error %v, want one about the challenge", err)
	}
}
