package wire

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
)

// mostRefused is how often a host may refuse a password that it never accepted:
// the second time it has been looked up anew. More may lock the account.
const mostRefused = 2

// password is what became of a name and password at a host. Until the host has
// accepted it one request at a time carries it, so that no crowd is refused at once.
type password struct {
	turn chan struct{} // held by the request that carries it

	mu      sync.Mutex
	cred    auth.Credential // the one that the rest is about
	open    bool            // nobody takes turns any more
	proven  bool            // it was accepted
	refused int             // times, before it was ever accepted
	no      *Error          // what everything else gets to hear once that is too often
}

// password returns what is known of what a principal presents.
func (h *host) password(p auth.Principal) *password {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.passwords == nil {
		h.passwords = map[auth.Principal]*password{}
	}
	if h.passwords[p] == nil {
		h.passwords[p] = &password{turn: make(chan struct{}, 1)}
	}
	return h.passwords[p]
}

// free reports whether a credential needs no turn, and how it was refused for good.
// One that has been renewed begins anew.
func (p *password) free(cred auth.Credential) (bool, *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.about(cred) {
		p.cred, p.open, p.proven, p.refused, p.no = cred, false, false, 0, nil
	}
	return p.open, p.no
}

// about reports whether a credential is the one that is known. The caller holds mu.
func (p *password) about(cred auth.Credential) bool {
	return p.cred.Username == cred.Username && p.cred.Password == cred.Password
}

// answered takes in how a request fared that carried a credential: the host took
// it, refused it, or neither.
func (p *password) answered(cred auth.Credential, taken, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.about(cred):
	case taken:
		p.open, p.proven = true, true
	case refused && !p.proven:
		p.refused++
	}
}

// settled returns the error for all others if a credential was refused too often;
// resp is the last refusal.
func (p *password) settled(cred auth.Credential, resp *http.Response) *Error {
	p.mu.Lock()
	often, no := p.about(cred) && p.refused >= mostRefused, p.no
	p.mu.Unlock()
	if !often || no != nil {
		return no
	}
	no = ReadError(resp) // unlocked: it waits for the network
	no.Message = strings.TrimSuffix("the password was refused and is not sent again: "+no.Message, ": ")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.no = no
	return no
}

// present chooses the name and password for a try, and waits for its turn with them.
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
			l.refused = no // what needs no password may be had all the same
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

// leave ends the turn of a try, if it has one.
func (l *login) leave() {
	if l.turn {
		l.turn = false
		<-l.secret.turn
	}
}

// unanswered ends taking turns: a host that does not answer is waited for side by side.
func (l *login) unanswered() {
	if l.basic != (auth.Credential{}) {
		l.secret.mu.Lock()
		defer l.secret.mu.Unlock()
		l.secret.open = true
	}
}
