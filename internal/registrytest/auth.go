package registrytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// BasicAuth demands this account on every request.
func BasicAuth(user, pass string) Option {
	return func(c *config) {
		c.auth = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != pass {
				w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
				writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
				return
			}
			next.ServeHTTP(w, r)
		}
	}
}

// TokenOption configures TokenAuth.
type TokenOption func(*tokens)

// TokenAuth demands a bearer token for every request, to be had at /token with the
// password of one of users. GET and HEAD need pull on the repository, writes push,
// DELETE of content delete, a mount also pull on the repository it mounts from.
func TokenAuth(users map[string]string, opts ...TokenOption) Option {
	return func(c *config) {
		tk := &tokens{users: users, live: map[string]*token{}, granted: map[string][]grant{}}
		for _, o := range opts {
			o(tk)
		}
		c.tokens = tk
		c.auth = tk.guard
	}
}

// AnonymousPull hands tokens for pulling to clients without a password.
func AnonymousPull() TokenOption {
	return func(tk *tokens) { tk.anonymous = true }
}

// FirstScopeOnly reads only the first scope of a token request, as some registries do.
func FirstScopeOnly() TokenOption {
	return func(tk *tokens) { tk.firstScope = true }
}

// TokenUses lets a token be good for n requests.
func TokenUses(n int) TokenOption {
	return func(tk *tokens) { tk.uses = n }
}

// Grant limits user to these actions in repositories that equal prefix or lie below it.
// Several grants add up; a user without any may do everything.
func Grant(user, prefix string, actions ...string) TokenOption {
	return func(tk *tokens) {
		for _, a := range actions {
			tk.granted[user] = append(tk.granted[user], grant{prefix, a})
		}
	}
}

// tokens is a token service and the guard that asks for its tokens.
type tokens struct {
	users      map[string]string
	anonymous  bool
	firstScope bool
	uses       int
	granted    map[string][]grant

	mu     sync.Mutex
	live   map[string]*token
	issued int
}

type grant struct{ prefix, action string }

type token struct {
	access map[scope]struct{}
	uses   int
}

// scope is one action on one resource.
type scope struct{ kind, name, action string }

func (tk *tokens) expire() {
	tk.mu.Lock()
	defer tk.mu.Unlock()
	clear(tk.live)
}

// guard issues tokens, and demands one for every other request.
func (tk *tokens) guard(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if kind, _, _ := classify(r); kind == Token {
		tk.issue(w, r)
		return
	}
	need := needed(r)
	value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if problem := tk.check(value, need); problem != "" {
		w.Header().Set("WWW-Authenticate", challenge(r, need, problem))
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required: "+problem)
		return
	}
	next.ServeHTTP(w, r)
}

// check returns what is wrong with a token, in the words of RFC 6750, or nothing.
func (tk *tokens) check(value string, need []scope) string {
	tk.mu.Lock()
	defer tk.mu.Unlock()
	t, ok := tk.live[value]
	if value == "" || !ok {
		return "invalid_token"
	}
	if tk.uses > 0 {
		if t.uses++; t.uses >= tk.uses {
			delete(tk.live, value)
		}
	}
	for _, s := range need {
		if _, ok := t.access[s]; !ok {
			return "insufficient_scope"
		}
	}
	return ""
}

// needed returns what a request must be allowed; nothing for the ping, which any token may do.
func needed(r *http.Request) []scope {
	kind, repo, _ := classify(r)
	switch {
	case kind == Catalog:
		return []scope{{"registry", "catalog", "*"}}
	case repo == "":
		return nil
	case kind == Delete:
		return []scope{{"repository", repo, "delete"}}
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return []scope{{"repository", repo, "pull"}}
	}
	need := []scope{{"repository", repo, "push"}}
	if from := r.URL.Query().Get("from"); kind == Mount && from != "" {
		need = append(need, scope{"repository", from, "pull"})
	}
	return need
}

// challenge names the token service on the same server and the scopes to ask for.
func challenge(r *http.Request, need []scope, problem string) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	c := fmt.Sprintf(`Bearer realm="%s://%s/token",service="registrytest"`, scheme, r.Host)
	scopes := make([]string, len(need))
	for i, s := range need {
		actions := s.action
		if actions == "push" {
			actions = "pull,push" // distribution asks so too, and clients then read what they wrote
		}
		scopes[i] = s.kind + ":" + s.name + ":" + actions
	}
	if len(scopes) > 0 {
		c += fmt.Sprintf(`,scope="%s"`, strings.Join(scopes, " "))
	}
	if r.Header.Get("Authorization") != "" {
		c += fmt.Sprintf(`,error="%s"`, problem)
	}
	return c
}
