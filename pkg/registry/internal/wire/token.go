package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
)

// maxScopes is the number of repositories that one token covers.
//
// Tokens and token requests grow with each scope, and some registries accept only 8 KiB
// of headers.
const maxScopes = 50

// earlyRenewal is how long before expiry a token is renewed.
//
// It is a tenth of the lifetime if that is shorter.
const earlyRenewal = 15 * time.Second

// maxExpired is how often one request's token may expire.
const maxExpired = 10

// tokenSet is the bearer token for a set of scopes.
type tokenSet struct {
	host      *host
	principal auth.Principal
	repo      name.Repository // any repository of the principal
	scopes    []string

	turn chan struct{} // held by the goroutine that requests a token
	no   error         // the token server refused the scopes; guarded by turn

	mu    sync.Mutex      // never held while waiting, because drop is called with a slot of the host
	cred  auth.Credential // that the token was requested with
	token auth.Token
	renew time.Time
	good  string // the last value that the host accepted
}

// Grant is the access that a later request needs.
type Grant struct {
	Repo   name.Repository
	Access Access
	From   name.Repository // the source of a mount; zero: none
}

// Expect announces the access that later requests need.
//
// Grants with the same host, account and access share tokens, for up to 50 repositories
// each. Without Expect each repository has a token of its own.
func (t *Transport) Expect(grants []Grant) {
	type group struct {
		principal auth.Principal
		access    Access
	}
	open := map[group]*tokenSet{}
	for _, g := range grants {
		h := t.host(g.Repo.RegistryStr())
		key := group{h.principal(g.Repo), g.Access}
		want := scopesOf(g.Repo, g.Access, g.From)
		set := open[key]
		if set == nil || len(union(set.scopes, want)) > maxScopes {
			set = h.newTokenSet(g.Repo)
			open[key] = set
		}
		set.scopes = union(set.scopes, want)
		h.mu.Lock()
		h.expected[g] = set
		h.mu.Unlock()
	}
}

// union returns have and those of more that are not in it.
func union(have, more []string) []string {
	for _, s := range more {
		if !slices.Contains(have, s) {
			have = append(have, s)
		}
	}
	return have
}

// scopesOf returns the scopes of one request.
//
// The scope of a write comes first, because some registries read only the first.
func scopesOf(repo name.Repository, access Access, from name.Repository) []string {
	switch access {
	case Catalog:
		return []string{"registry:catalog:*"}
	case Push:
		scopes := []string{"repository:" + repo.RepositoryStr() + ":pull,push"}
		if from != (name.Repository{}) && from != repo {
			scopes = append(scopes, "repository:"+from.RepositoryStr()+":pull")
		}
		return scopes
	}
	return []string{"repository:" + repo.RepositoryStr() + ":pull"}
}

func (h *host) principal(repo name.Repository) auth.Principal {
	o := h.transport.options
	return o.Credentials.Principal(h.name, repo.RepositoryStr(), o.Account(repo))
}

func (h *host) newTokenSet(repo name.Repository) *tokenSet {
	return &tokenSet{host: h, principal: h.principal(repo), repo: repo, turn: make(chan struct{}, 1)}
}

// tokenFor returns the expected token set, or the request's own.
func (h *host) tokenFor(r *Request, alone bool) *tokenSet {
	h.mu.Lock()
	set := h.expected[Grant{r.Repo, r.Access, r.From}]
	h.mu.Unlock()
	if set != nil && !alone && !h.single.Load() {
		return set
	}
	own := h.newTokenSet(r.Repo)
	own.scopes = scopesOf(r.Repo, r.Access, r.From)
	key := own.principal.Key + "\n" + strings.Join(own.scopes, " ")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tokens[key] == nil {
		h.tokens[key] = own
	}
	return h.tokens[key]
}

// value returns the token.
//
// It requests a new one if there is none or it expires soon.
func (s *tokenSet) value(ctx context.Context, ch auth.Challenge) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token, ok := s.current(); ok {
		return token, nil
	}
	if err := s.host.refusal(s.principal); err != nil {
		return "", err
	}
	if s.no != nil {
		return "", s.no
	}
	t := s.host.transport
	cred, err := t.options.Credentials.Credential(ctx, s.principal)
	if err != nil {
		return "", err
	}
	ctx = context.WithValue(ctx, credentialKey{}, cred)
	token, err := auth.Exchange(ctx, s.host.realm, ch, s.scopes, cred, &t.secrets, time.Now)
	var no *auth.RefusedError
	if errors.As(err, &no) {
		err = fmt.Errorf("%w (%s)", err, t.secrets.Redact(s.host.credentialNote(cred)))
	}
	switch {
	case no != nil && no.Status == http.StatusUnauthorized:
		s.host.refuse(s.principal, err)
		return "", err
	case no != nil:
		s.no = err
		return "", err
	case err != nil:
		return "", err
	}
	life := time.Until(token.Expires)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred, s.token, s.renew = cred, token, token.Expires.Add(-min(earlyRenewal, life/10))
	return token.Value, nil
}

// current returns the token, unless it expires soon.
func (s *tokenSet) current() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token.Value, s.token.Value != "" && time.Now().Before(s.renew)
}

// credential returns the credential that the token was requested with.
func (s *tokenSet) credential() auth.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred
}

// accepted records that the host accepted a token.
func (s *tokenSet) accepted(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = value
}

// expired reports whether a refused token was accepted before.
func (s *tokenSet) expired(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good == value
}

// drop removes a refused token, unless it has been renewed in the meantime.
func (s *tokenSet) drop(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Value == value {
		s.token = auth.Token{}
	}
}

// realm sends a token request to the token server.
//
// It has the retries and the pace of other requests, but those of the token server.
func (h *host) realm(req *http.Request) (*http.Response, error) {
	t := h.transport
	server := t.server(req.URL.Host)
	r := &Request{Method: req.Method, URL: req.URL}
	return t.tries(req.Context(), server, r, func(ctx context.Context) (*http.Response, verdict, error) {
		next := req.Clone(context.WithValue(withOrigin(ctx, h), realmKey{}, true))
		next.Header.Set("User-Agent", t.options.UserAgent)
		if cred, ok := ctx.Value(credentialKey{}).(auth.Credential); ok {
			attemptOf(ctx).cred = cred
		}
		if req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, final, err
			}
			next.Body = body
		}
		slot, err := server.pace.Acquire(ctx)
		if err != nil {
			return nil, final, err
		}
		resp, err := t.send(server, next, slot, r)
		return resp, again, err
	})
}

// login adds credentials to the tries of one request, and reacts to refusals.
type login struct {
	host    *host
	request *Request

	set     *tokenSet // the token of the last try
	value   string
	basic   auth.Credential
	secret  *password // the state of basic
	turn    bool      // the try holds the turn of secret
	refused *Error    // the password was refused before: the try has none
	asked   bool      // the host had sent a challenge before the last try
	expired int       // number of expired tokens
	renewed int       // number of renewed credentials
	alone   bool      // use a token for the scopes of this request only
}

// sign adds credentials to a try, unless its URL is on another host.
func (l *login) sign(ctx context.Context, req *http.Request) error {
	l.set, l.value, l.basic, l.refused = nil, "", auth.Credential{}, nil
	ch, ok := l.host.challenge()
	l.asked = ok
	if !ok || !l.host.at(req.URL) {
		return nil
	}
	if ch.Scheme == "basic" {
		cred, err := l.present(ctx)
		if err != nil {
			return err
		}
		if cred != (auth.Credential{}) {
			l.basic = cred
			cred.AddTo(&l.host.transport.secrets)
			attemptOf(req.Context()).cred = cred
			req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password)))
		}
		return nil
	}
	set := l.host.tokenFor(l.request, l.alone)
	value, err := set.value(ctx, ch)
	var no *auth.RefusedError
	if errors.As(err, &no) && no.Status != http.StatusUnauthorized && len(set.scopes) > 1 && !l.alone {
		l.alone = true // the refusal may be about another repository of the token
		set = l.host.tokenFor(l.request, true)
		value, err = set.value(ctx, ch)
	}
	if err != nil {
		return err
	}
	l.set, l.value = set, value
	attemptOf(req.Context()).cred = set.credential()
	req.Header.Set("Authorization", "Bearer "+value)
	return nil
}

// judge decides whether a response needs a try with other credentials.
//
// The error is not nil if no credential would help. It is then the error of all requests
// with the same credentials.
func (l *login) judge(resp *http.Response) (verdict, error) {
	shared := l.set != nil && len(l.set.scopes) > len(scopesOf(l.request.Repo, l.request.Access, l.request.From))
	own := l.host.answered(resp) // after a redirect, the status says nothing about the credentials of the registry
	refused := own && resp.StatusCode == http.StatusUnauthorized
	if l.basic != (auth.Credential{}) {
		l.secret.answered(l.basic, !refused && !retryStatus(resp.StatusCode), refused)
	}
	switch {
	case own && resp.StatusCode == http.StatusForbidden && shared && !l.alone:
		l.alone = true // the host may read only one scope of a token
		return renewed, nil
	case !refused:
		if l.set != nil {
			l.set.accepted(l.value)
		}
		if l.alone && l.set != nil && resp.StatusCode != http.StatusForbidden {
			l.host.single.Store(true)
		}
		return again, nil
	case l.refused != nil:
		return final, l.refused
	case l.set != nil && l.set.expired(l.value) && l.expired < maxExpired:
		l.expired++ // the token expired or was used up: the credentials may be right
	case l.renewed >= 2:
		return again, nil
	default:
		l.renewed++
	}
	l.host.learn(resp)
	switch {
	case l.set != nil:
		l.set.drop(l.value)
		if l.renewed > 1 && shared {
			l.alone = true
		}
	case l.basic != auth.Credential{}:
		if no := l.secret.settled(l.basic, resp); no != nil {
			return final, no
		}
		if l.renewed > 1 {
			return again, nil // the renewed credential was refused, too
		}
		l.host.transport.options.Credentials.Forget(l.host.principal(l.request.Repo), l.basic)
	default:
		if _, ok := l.host.challenge(); !ok || l.asked {
			return again, nil // there are no credentials
		}
	}
	return renewed, nil
}
