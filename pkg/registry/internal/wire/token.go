package wire

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
)

// maxScopes is how many repositories one token covers. Tokens and the addresses
// that ask for them grow with each; registries' header limits begin at 8 KiB.
const maxScopes = 50

// earlyRenewal is how long before its end a token is renewed, at most a tenth of its life.
const earlyRenewal = 15 * time.Second

// mostEnded bounds how often one request finds its token run out.
const mostEnded = 10

// tokenSet is one token: what it covers and its current value.
type tokenSet struct {
	host      *host
	principal auth.Principal
	repo      name.Repository // any repository of the principal
	scopes    []string

	turn chan struct{} // held by whoever exchanges
	no   error         // the realm refused the scopes; belongs to whoever holds turn

	mu    sync.Mutex // never held while waiting: who drops a token holds up a slot of the host
	token auth.Token
	renew time.Time
	good  string // the value that the host accepted last
}

// Grant is the access that requests to come will need.
type Grant struct {
	Repo   name.Repository
	Access Access
	From   name.Repository // of a mount; zero: none
}

// Expect groups grants into tokens of up to 50 repositories of one host, account
// and set of actions. Without it each repository gets a token of its own.
func (t *Transport) Expect(grants []Grant) {
	type group struct {
		principal auth.Principal
		access    Access
	}
	open := map[group]*tokenSet{}
	members := map[*tokenSet]map[string]struct{}{}
	for _, g := range grants {
		h := t.host(g.Repo.RegistryStr())
		key := group{h.principal(g.Repo), g.Access}
		want := scopesOf(g.Repo, g.Access, g.From)
		set := open[key]
		if set != nil && len(members[set])+added(members[set], want) > maxScopes {
			set = nil
		}
		if set == nil {
			set = h.newTokenSet(g.Repo)
			open[key], members[set] = set, map[string]struct{}{}
		}
		for _, s := range want {
			if _, ok := members[set][s]; !ok {
				members[set][s] = struct{}{}
				set.scopes = append(set.scopes, s)
			}
		}
		h.mu.Lock()
		if h.expected == nil {
			h.expected = map[Grant]*tokenSet{}
		}
		h.expected[g] = set
		h.mu.Unlock()
	}
}

// added returns how many of more are not in have.
func added(have map[string]struct{}, more []string) int {
	n := 0
	for _, s := range more {
		if _, ok := have[s]; !ok {
			n++
		}
	}
	return n
}

// scopesOf returns the scopes of one request, what it writes first: some
// registries read the first alone.
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

// tokenFor returns the token set of a request: the expected one, or its own.
func (h *host) tokenFor(r *Request, alone bool) *tokenSet {
	h.mu.Lock()
	set := h.expected[Grant{r.Repo, r.Access, r.From}]
	alone = alone || h.single
	h.mu.Unlock()
	if set != nil && !alone {
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

// value returns a token that is good for a while, exchanging credentials for one if need be.
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
	token, err := auth.Exchange(ctx, s.host.realm, ch, s.scopes, cred, &t.secrets, time.Now)
	var no *auth.RefusedError
	switch {
	case errors.As(err, &no) && no.Status == http.StatusUnauthorized:
		s.host.refuse(s.principal, err)
		return "", err
	case errors.As(err, &no):
		s.no = err
		return "", err
	case err != nil:
		return "", err
	}
	life := time.Until(token.Expires)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.renew = token, token.Expires.Add(-min(earlyRenewal, life/10))
	return token.Value, nil
}

// current returns the token, if it is good for a while.
func (s *tokenSet) current() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token.Value, s.token.Value != "" && time.Now().Before(s.renew)
}

// accepted records that the host took a token.
func (s *tokenSet) accepted(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = value
}

// ended reports whether a refused token was accepted before: it has run out.
func (s *tokenSet) ended(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good == value
}

// drop forgets a token that was refused, unless it has been renewed since.
func (s *tokenSet) drop(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.Value == value {
		s.token = auth.Token{}
	}
}

// realm sends a token request: paced and tried like any other, but by the realm's own host.
func (h *host) realm(req *http.Request) (*http.Response, error) {
	t := h.transport
	server := t.server(req.URL.Host)
	r := &Request{Method: req.Method, URL: req.URL}
	return t.tries(req.Context(), server, r, func(ctx context.Context) (*http.Response, verdict, error) {
		next := req.Clone(context.WithValue(withOrigin(ctx, h), realmKey{}, true))
		next.Header.Set("User-Agent", t.options.UserAgent)
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

// login signs the tries of one request and judges what refused them.
type login struct {
	host    *host
	request *Request

	set     *tokenSet // the token that the last try carried
	value   string
	basic   auth.Credential
	secret  *password // what is known of basic
	turn    bool      // the try has its turn with it
	refused *Error    // the password was refused before: the try carries none
	asked   bool      // the host had asked for credentials before the last try
	ended   int       // times that a token had run out
	renewed int       // times that what it carries was renewed
	alone   bool      // use a token for this request's scopes only
}

// sign gives a try its credentials. Requests to other hosts than the registry's carry none.
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
			req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password)))
		}
		return nil
	}
	set := l.host.tokenFor(l.request, l.alone)
	value, err := set.value(ctx, ch)
	var no *auth.RefusedError
	if errors.As(err, &no) && no.Status != http.StatusUnauthorized && len(set.scopes) > 1 && !l.alone {
		l.alone = true // one repository of the token may be the one that is refused
		set = l.host.tokenFor(l.request, true)
		value, err = set.value(ctx, ch)
	}
	if err != nil {
		return err
	}
	l.set, l.value = set, value
	req.Header.Set("Authorization", "Bearer "+value)
	return nil
}

// judge looks at an answer: a refusal that other credentials may mend is worth
// another try; one that nothing mends is an error for all that would present the same.
func (l *login) judge(resp *http.Response) (verdict, error) {
	shared := l.set != nil && len(l.set.scopes) > len(scopesOf(l.request.Repo, l.request.Access, l.request.From))
	own := l.host.at(resp.Request.URL) // not where the request was redirected to: only the registry says how to sign in to it
	refused := own && resp.StatusCode == http.StatusUnauthorized
	if l.basic != (auth.Credential{}) {
		l.secret.answered(l.basic, !refused && !retryStatus(resp.StatusCode), refused)
	}
	switch {
	case own && resp.StatusCode == http.StatusForbidden && shared && !l.alone:
		l.alone = true // the host may have read one scope of many
		return renewed, nil
	case !refused:
		if l.set != nil {
			l.set.accepted(l.value)
		}
		if l.alone && l.set != nil && resp.StatusCode != http.StatusForbidden {
			l.host.setSingle()
		}
		return again, nil
	case l.refused != nil:
		return final, l.refused
	case l.set != nil && l.set.ended(l.value) && l.ended < mostEnded:
		l.ended++ // it has run out, or others have used it up: no sign against the credentials
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
			return again, nil // the credential was renewed and refused again
		}
		l.host.transport.options.Credentials.Forget(l.host.principal(l.request.Repo), l.basic)
	default:
		if _, ok := l.host.challenge(); !ok || l.asked {
			return again, nil // there is nothing to present
		}
	}
	return renewed, nil
}
