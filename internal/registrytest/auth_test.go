package registrytest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// getToken asks for a token for these scopes, as user with password "secret", or as nobody.
func getToken(t *testing.T, s *Server, user string, scopes ...string) string {
	t.Helper()
	var header []string
	if user != "" {
		header = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":secret"))}
	}
	q := url.Values{"scope": scopes, "service": {"registrytest"}}
	a := ask(t, s, "GET", "/token?"+q.Encode(), "", header...).want(t, 200)
	var answer tokenAnswer
	if err := json.Unmarshal(a.body, &answer); err != nil || answer.Token == "" || answer.Token != answer.AccessToken {
		t.Fatalf("token answer %s: %v", a.body, err)
	}
	return "Bearer " + answer.Token
}

func users() map[string]string {
	return map[string]string{"alice": "secret", "bob": "secret", "<token>": "refresh"}
}

func TestARealClientWithTokens(t *testing.T) {
	for name, opts := range map[string][]TokenOption{
		"plain":           nil,
		"anonymous reads": {AnonymousPull()},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t, HTTP2(), TokenAuth(users(), opts...))
			o := MultiArch(1, 2, 2)
			s.Push(t, "from", o, "1")
			auth := remote.WithAuth(&authn.Basic{Username: "alice", Password: "secret"})
			tr := remote.WithTransport(s.Client().Transport)
			idx, err := remote.Index(ref(t, s, "from:1"), auth, tr)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.WriteIndex(ref(t, s, "to:1"), idx, auth, tr); err != nil {
				t.Fatalf("%v\n%s", err, s.Summary())
			}
			if problems := s.Complete(t, "to", "1"); problems != nil {
				t.Errorf("got problems %q, want none", problems)
			}
			if s.Count(Token) == 0 || s.Count(Mount) == 0 {
				t.Errorf("got %d token requests and %d mounts, want some of each\n%s", s.Count(Token), s.Count(Mount), s.Summary())
			}
		})
	}
}

func TestTokenScopes(t *testing.T) {
	b := NewBlob("text/plain", []byte("content"))
	s := New(t, WithCatalog(), TokenAuth(users(), Grant("bob", "team", "pull", "push"), Grant("bob", "x", "pull")))
	for _, repo := range []string{"team/app", "other", "x", "x/y", "teams"} {
		s.PushBlob(t, repo, b)
	}
	pull, push := "repository:%s:pull", "repository:%s:pull,push"
	mount := func(from string) string {
		return "/v2/team/new/blobs/uploads/?mount=" + b.Digest + "&from=" + from
	}
	for name, c := range map[string]struct {
		user, scope  string
		method, path string
		status       int
	}{
		"no scope, ping":        {"alice", "", "GET", "/v2/", 200},
		"pull":                  {"alice", fmt.Sprintf(pull, "other"), "GET", "/v2/other/blobs/" + b.Digest, 200},
		"pull elsewhere":        {"alice", fmt.Sprintf(pull, "other"), "GET", "/v2/x/blobs/" + b.Digest, 401},
		"write without push":    {"alice", fmt.Sprintf(pull, "other"), "POST", "/v2/other/blobs/uploads/", 401},
		"write":                 {"alice", fmt.Sprintf(push, "other"), "POST", "/v2/other/blobs/uploads/", 202},
		"delete without delete": {"alice", fmt.Sprintf(push, "other"), "DELETE", "/v2/other/blobs/" + b.Digest, 401},
		"delete":                {"alice", "repository:other:delete", "DELETE", "/v2/teams/blobs/" + b.Digest, 401},
		"catalog":               {"alice", "registry:catalog:*", "GET", "/v2/_catalog", 200},
		"catalog without":       {"alice", fmt.Sprintf(pull, "other"), "GET", "/v2/_catalog", 401},
		"mount with both":       {"alice", fmt.Sprintf(push+" "+pull, "team/new", "other"), "POST", mount("other"), 201},
		"mount without from":    {"alice", fmt.Sprintf(push, "team/new"), "POST", mount("other"), 401},
		"granted below":         {"bob", fmt.Sprintf(push, "team/app"), "POST", "/v2/team/app/blobs/uploads/", 202},
		"granted itself":        {"bob", fmt.Sprintf(pull, "x"), "GET", "/v2/x/blobs/" + b.Digest, 200},
		"granted pull only":     {"bob", fmt.Sprintf(push, "x/y"), "POST", "/v2/x/y/blobs/uploads/", 401},
		"not a path element":    {"bob", fmt.Sprintf(pull, "teams"), "GET", "/v2/teams/blobs/" + b.Digest, 401},
		"not granted":           {"bob", fmt.Sprintf(pull, "other"), "GET", "/v2/other/blobs/" + b.Digest, 401},
	} {
		t.Run(name, func(t *testing.T) {
			token := getToken(t, s, c.user, strings.Fields(c.scope)...)
			ask(t, s, c.method, c.path, "", "Authorization", token).want(t, c.status)
		})
	}
}

func TestChallenge(t *testing.T) {
	s := New(t, TokenAuth(users()))
	for _, c := range []struct{ path, auth, scope string }{
		{"/v2/", "", ""},
		{"/v2/r/tags/list", "", `,scope="repository:r:pull"`},
		{"/v2/r/tags/list", "Bearer old", `,scope="repository:r:pull",error="invalid_token"`},
		{"/v2/r/tags/list", getToken(t, s, "alice"), `,scope="repository:r:pull",error="insufficient_scope"`},
		{"/v2/_catalog", "", `,scope="registry:catalog:*"`},
	} {
		a := ask(t, s, "GET", c.path, "", "Authorization", c.auth).want(t, 401)
		want := `Bearer realm="` + s.URL + `/token",service="registrytest"` + c.scope
		if diff := cmp.Diff(want, a.Header.Get("WWW-Authenticate")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.path, diff)
		}
	}
	a := ask(t, s, "POST", "/v2/to/blobs/uploads/?mount=x&from=src", "").want(t, 401)
	if want := `scope="repository:to:pull,push repository:src:pull"`; !strings.Contains(a.Header.Get("WWW-Authenticate"), want) {
		t.Errorf("mount: got challenge %q, want it to contain %s", a.Header.Get("WWW-Authenticate"), want)
	}
}

func TestTokenService(t *testing.T) {
	s := New(t, TokenAuth(users()))
	ask(t, s, "GET", "/token", "").want(t, 401)
	ask(t, s, "GET", "/token", "", "Authorization", "Basic YWxpY2U6d3Jvbmc=").want(t, 401)
	ask(t, s, "GET", "/token", "", "Authorization", "Basic Y2Fyb2w6c2VjcmV0").want(t, 401)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	ask(t, s, "POST", "/token", "grant_type=password&username=alice&password=secret&scope=repository:r:pull", form...).want(t, 200)
	ask(t, s, "POST", "/token", "grant_type=refresh_token&refresh_token=refresh", form...).want(t, 200)
	ask(t, s, "POST", "/token", "grant_type=refresh_token&refresh_token=other", form...).want(t, 401)
	if got := s.Count(Token); got != 6 || len(s.Writes()) != 0 {
		t.Errorf("got %d token requests and writes %v, want 6 and none", got, s.Writes())
	}
	s.Fault(Status(429, nil, ""), Is(Token))
	ask(t, s, "GET", "/token", "").want(t, 429)

	open := New(t, TokenAuth(nil, AnonymousPull()))
	o := Image(1, 1)
	open.Push(t, "r", o, "1")
	token := getToken(t, open, "", "repository:r:pull,push")
	ask(t, open, "GET", "/v2/r/manifests/1", "", "Authorization", token).want(t, 200)
	ask(t, open, "POST", "/v2/r/blobs/uploads/", "", "Authorization", token).want(t, 401)
}

func TestTokensEnd(t *testing.T) {
	s := New(t, TokenAuth(users(), TokenUses(2)))
	token := getToken(t, s, "alice")
	for _, status := range []int{200, 200, 401} {
		ask(t, s, "GET", "/v2/", "", "Authorization", token).want(t, status)
	}
	token = getToken(t, s, "alice")
	s.ExpireTokens()
	ask(t, s, "GET", "/v2/", "", "Authorization", token).want(t, 401)
	New(t).ExpireTokens() // does nothing, and does not fail
}

func TestFirstScopeOnly(t *testing.T) {
	s := New(t, TokenAuth(users(), FirstScopeOnly()))
	for _, repo := range []string{"a", "b"} {
		s.Push(t, repo, Image(1, 1), "1")
	}
	for _, scopes := range [][]string{{"repository:a:pull", "repository:b:pull"}, {"repository:a:pull repository:b:pull"}} {
		token := getToken(t, s, "alice", scopes...)
		ask(t, s, "GET", "/v2/a/tags/list", "", "Authorization", token).want(t, 200)
		ask(t, s, "GET", "/v2/b/tags/list", "", "Authorization", token).want(t, 401)
	}
}

func TestBasicAuth(t *testing.T) {
	s := New(t, TLS(), BasicAuth("alice", "secret"))
	a := ask(t, s, "GET", "/v2/", "").want(t, 401)
	if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("got challenge %q, want Basic", a.Header.Get("WWW-Authenticate"))
	}
	ask(t, s, "GET", "/v2/", "", "Authorization", "Basic YWxpY2U6d3Jvbmc=").want(t, 401)
	s.Push(t, "r", Image(1, 1), "1")
	auth := remote.WithAuth(&authn.Basic{Username: "alice", Password: "secret"})
	if _, err := remote.Head(ref(t, s, "r:1"), auth, remote.WithTransport(s.Client().Transport)); err != nil {
		t.Error(err)
	}
}
