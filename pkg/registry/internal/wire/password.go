package wire

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
)

// maxRefused limits the refusals of a password.
//
// It applies to passwords that were never accepted. The password is looked up again
// before its second try. More refusals may lock the account.
const maxRefused = 2

// password is the state of a user name and password at a host.
//
// Until the host has accepted it, only one request at a time uses it. So a wrong
// password is not refused many times at once.
type password struct {
	turn chan struct{} // held by the request that uses the password

	mu      sync.Mutex
	cred    auth.Credential // the credential that the other fields are about
	open    bool            // requests need no turn any more
	proven  bool            // the host accepted it
	refused int             // number of refusals before it was accepted
	no      *Error          // the error for all further requests; nil: not refused too often
}

// password returns the state of the password of a principal.
func (h *host) password(p auth.Principal) *password {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.passwords[p] == nil {
		h.passwords[p] = &password{turn: make(chan struct{}, 1)}
	}
	return h.passwords[p]
}

// free reports whether a credential needs no turn.
//
// The error is not nil if it was refused too often. A renewed credential starts again
// without refusals.
func (p *password) free(cred auth.Credential) (bool, *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.about(cred) {
		p.cred, p.open, p.proven, p.refused, p.no = cred, false, false, 0, nil
	}
	return p.open, p.no
}

// about reports whether the state is that of cred. The caller holds mu.
func (p *password) about(cred auth.Credential) bool {
	return p.cred.Username == cred.Username && p.cred.Password == cred.Password
}

// answered stores whether the host accepted or refused a credential, or neither.
func (p *password) answered(cred auth.Credential, accepted, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.about(cred):
	case accepted:
		p.open, p.proven = true, true
	case refused && !p.proven:
		p.refused++
	}
}

// settled returns an error if cred was refused too often.
//
// It is then the error of all further requests. resp is the last refusal.
func (p *password) settled(cred auth.Credential, resp *http.Response) *Error {
	p.mu.Lock()
	often, no := p.about(cred) && p.refused >= maxRefused, p.no
	p.mu.Unlock()
	if !often || no != nil {
		return no
	}
	no = ReadError(resp) // without the lock, because it reads from the network
	no.Message = strings.TrimSuffix("the password was refused and is not sent again: "+no.Message, ": ")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.no = no
	return no
}

// present returns the user name and password for a try.
//
// It waits for a turn if they are not proven. It returns none if they were refused too often.
func (l *login) present(ctx context.Context) (auth.Credential, error) {
	who := l.host.principal(l.request.Repo)
	l.secret = l.host.password(who)
	for held := false; ; held = true {
		cred, err := l.host.transport.options.Credentials.Credential(ctx, who)
		if err != nil || cred.Username == "" && cred.Password == "" {
			return auth.Credential{}, err
		}
		free, no := l.secret.free(cred)
		switch {
		case no != nil && l.host.closed:
			return auth.Credential{}, no
		case no != nil:
			l.refused = no // an anonymous request may still succeed
			l.leave()
			return auth.Credential{}, nil
		case free:
			l.leave()
			return cred, nil
		case held:
			return cred, nil
		}
		select {
		case l.secret.turn <- struct{}{}:
			l.turn = true
		case <-ctx.Done():
			return auth.Credential{}, ctx.Err()
		}
	}
}

// leave releases the turn of a try, if it has one.
func (l *login) leave() {
	if l.turn {
		l.turn = false
		<-l.secret.turn
	}
}

// unanswered lets all requests use the password at once.
//
// Otherwise the requests to a host that does not respond would wait one after another.
func (l *login) unanswered() {
	if l.basic != (auth.Credential{}) {
		l.secret.mu.Lock()
		defer l.secret.mu.Unlock()
		l.secret.open = true
	}
}
