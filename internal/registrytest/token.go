package registrytest

import (
	"fmt"
	"net/http"
	"strings"
)

// tokenAnswer is the token service's answer, with the token under both names in use.
type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	IssuedAt    string `json:"issued_at"`
}

// issue answers GET /token and the OAuth 2 form POST /token.
// What may not be done is left out of the token, not refused.
func (tk *tokens) issue(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		writeError(w, http.StatusBadRequest, "UNSUPPORTED", "malformed token request")
		return
	}
	user, ok := tk.authenticate(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	asked, err := parseScopes(r.Form["scope"], tk.firstScope)
	if err != nil {
		writeError(w, http.StatusBadRequest, "UNSUPPORTED", err.Error())
		return
	}
	access := map[scope]struct{}{}
	for _, s := range asked {
		if tk.allows(user, s) {
			access[s] = struct{}{}
		}
	}
	tk.mu.Lock()
	tk.issued++
	value := fmt.Sprintf("opaque-%d", tk.issued)
	tk.live[value] = &token{access: access}
	tk.mu.Unlock()
	writeJSON(w, tokenAnswer{Token: value, AccessToken: value, ExpiresIn: 300, IssuedAt: "2020-01-01T00:00:00Z"})
}

// authenticate returns who asks, empty for nobody in particular. A refresh token is
// the password of the user "<token>", as Docker configurations spell identity tokens.
func (tk *tokens) authenticate(r *http.Request) (user string, ok bool) {
	user, pass, given := r.BasicAuth()
	switch r.PostForm.Get("grant_type") {
	case "password":
		user, pass, given = r.PostForm.Get("username"), r.PostForm.Get("password"), true
	case "refresh_token":
		user, pass, given = "<token>", r.PostForm.Get("refresh_token"), true
	}
	if !given {
		return "", tk.anonymous
	}
	want, known := tk.users[user]
	return user, known && pass == want
}

func (tk *tokens) allows(user string, s scope) bool {
	if user == "" {
		return s.kind == "repository" && s.action == "pull"
	}
	granted, limited := tk.granted[user]
	if !limited {
		return true
	}
	for _, g := range granted {
		below := s.name == g.prefix || strings.HasPrefix(s.name, g.prefix+"/")
		if s.kind == "repository" && below && g.action == s.action {
			return true
		}
	}
	return false
}

// parseScopes reads scope parameters: "repository:name:pull,push", several in one separated by spaces.
func parseScopes(params []string, firstOnly bool) ([]scope, error) {
	var list []string
	for _, p := range params {
		list = append(list, strings.Fields(p)...)
	}
	if firstOnly && len(list) > 1 {
		list = list[:1]
	}
	var scopes []scope
	for _, text := range list {
		kind, rest, ok := strings.Cut(text, ":")
		at := strings.LastIndex(rest, ":")
		if !ok || at < 0 {
			return nil, fmt.Errorf("malformed scope %q", text)
		}
		for action := range strings.SplitSeq(rest[at+1:], ",") {
			scopes = append(scopes, scope{kind, rest[:at], action})
		}
	}
	return scopes, nil
}
