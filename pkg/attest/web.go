package attest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	webTries  = 3                // of a request that the server did not answer, or with 429 or 5xx
	webWait   = time.Second      // before the second try; it doubles
	webWithin = 30 * time.Second // one request, with its tries
	maxAnswer = 1 << 20          // bytes of an answer, which usually has a few thousand
)

// transport sends the requests of sigstore's clients, which do not have a context.
func (s *Signer) transport(ctx context.Context) http.RoundTripper {
	return &transport{ctx, webOf(s.o.Transport), s.o.UserAgent}
}

func webOf(t *http.Transport) http.RoundTripper {
	if t == nil {
		return http.DefaultTransport
	}
	return t
}

// transport sends a request with a context, and again if it fails for the moment.
type transport struct {
	ctx       context.Context
	base      http.RoundTripper
	userAgent string
}

// RoundTrip sends a request.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(t.ctx)
	if t.userAgent != "" {
		r.Header.Set("User-Agent", t.userAgent)
	}
	for try, wait := 1, webWait; ; try, wait = try+1, 2*wait {
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r.Body = body
		}
		resp, err := t.base.RoundTrip(r)
		if err == nil && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < http.StatusInternalServerError {
			return resp, nil
		}
		if err == nil {
			err = statusError(resp)
		}
		if try == webTries || t.ctx.Err() != nil {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-t.ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}

// statusError returns the error of an answer, and closes it. The text is not quoted: it
// may repeat a token.
func statusError(resp *http.Response) error {
	resp.Body.Close()
	return fmt.Errorf("%s answered %d %s", resp.Request.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
}

// ask sends a request for a token, and parses the JSON of the answer.
func ask(ctx context.Context, web http.RoundTripper, r *http.Request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, webWithin)
	defer cancel()
	client := &http.Client{Transport: &transport{ctx: ctx, base: web}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("it answered with a redirect, which is not followed")
	}}
	resp, err := client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address, which may have secrets in its query
		}
		return fmt.Errorf("asking %s: %w", r.URL.Host, err)
	}
	if resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", r.URL.Host, err)
	}
	if json.Unmarshal(body, answer) != nil {
		return errors.New("the answer is not JSON with a token")
	}
	return nil
}
