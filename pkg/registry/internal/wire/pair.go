package wire

import (
	"context"
	"net/http"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

// pair is one try of a request with Before.
//
// It consists of a read and the write that follows it. Both use the same slot and the
// same credentials, so that the write never waits for a slot after the read.
type pair struct {
	login  *login
	slot   *pace.Slot
	signed []string // the Authorization header of the write

	// The result of a read that ends the try. It becomes the result of the try.
	ended   bool
	answer  *http.Response
	verdict verdict
	err     error
}

type pairKey struct{}

// read sends a request in the slot of the try, once.
func (p *pair) read(ctx context.Context, t *Transport, r *Request) (*http.Response, error) {
	h := p.login.host
	req, err := r.build(ctx, h, t.options.UserAgent)
	if err != nil {
		return nil, err
	}
	if p.signed != nil {
		req.Header["Authorization"] = p.signed
	}
	slot, err := p.slot.Again(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := t.send(h, req, slot, r)
	if err != nil {
		return nil, p.end(nil, again, err)
	}
	v, no := p.login.judge(resp)
	switch {
	case no != nil:
		discard(resp)
		return nil, p.end(nil, v, no)
	case v == renewed, retryStatus(resp.StatusCode):
		return nil, p.end(resp, v, &Error{Status: resp.StatusCode})
	}
	return resp, nil
}

// end stores the result of the try and returns err.
func (p *pair) end(resp *http.Response, v verdict, err error) error {
	p.ended, p.answer, p.verdict = true, resp, v
	if resp == nil {
		p.err = err
	}
	return err
}

// before calls Before. The try has ended if the returned verdict is not zero.
func (l *login) before(ctx context.Context, r *Request, req *http.Request, slot *pace.Slot) (*http.Response, verdict, error) {
	p := &pair{login: l, slot: slot, signed: req.Header["Authorization"]}
	err := r.Before(context.WithValue(ctx, pairKey{}, p))
	switch {
	case ctx.Err() != nil: // nothing was written
		if p.answer != nil {
			discard(p.answer)
		}
		return nil, final, ctx.Err()
	case p.ended:
		return p.answer, p.verdict, p.err
	case err != nil:
		return nil, final, err
	}
	return nil, 0, nil
}
