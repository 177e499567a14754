package wire

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// verdict is what to do with a try's result.
type verdict int

const (
	final   verdict = iota + 1 // return it
	again                      // retry, if the status or error is one to retry
	renewed                    // retry at once: the credentials were renewed
)

// tries calls try until a result is final. The number of tries is limited.
func (t *Transport) tries(ctx context.Context, h *host, r *Request, try func(context.Context) (*http.Response, verdict, error)) (*http.Response, error) {
	var n tally
	for number := 1; ; number++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		resp, v, err := try(context.WithValue(ctx, attemptKey{}, &attempt{number: number}))
		switch {
		case v == renewed:
			discard(resp)
			continue
		case ctx.Err() != nil && r.Grace && err != nil && v == again:
			return nil, &UnansweredError{ctx.Err()}
		case ctx.Err() != nil && !(r.Grace && err == nil):
			if resp != nil {
				discard(resp)
			}
			return nil, ctx.Err()
		case err != nil && (v == final || !retryable(err)):
			return nil, t.Clean(err)
		case err != nil && r.Once && !unsent(err):
			return nil, inventory.Retryable(t.Clean(err))
		case err != nil:
			n.failed++
			if errors.Is(err, syscall.EMFILE) {
				t.Close() // idle connections may use up the limit of open files
			}
			err = t.Clean(err)
			n.wait = t.backoff(n.failed + n.throttled)
			if over := h.failing(err, n.wait); over != nil {
				return nil, over
			}
			if n.failed >= h.maxTries(r, err) {
				h.unreached()
				return nil, inventory.Retryable(err)
			}
			h.waiting(time.Now().Add(n.wait), err.Error())
			h.logFailure("%s %s: try %d: %v: trying again", r.Method, r.where(), n.failed, err)
		case !retryStatus(resp.StatusCode) || r.Once && resp.StatusCode != http.StatusTooManyRequests:
			h.reached()
			return resp, nil
		default:
			if err := h.refused(r, resp, &n); err != nil {
				return nil, err
			}
		}
		if err := sleep(ctx, n.wait, h.pace.Over()); err != nil {
			return nil, err
		}
	}
}

// tally counts the failed tries of one request.
type tally struct {
	failed    int
	throttled int           // responses with status 429
	since     time.Time     // of the first of these
	wait      time.Duration // before the next try
}

// refused counts a response to retry.
//
// It returns an error if there is no other try.
func (h *host) refused(r *Request, resp *http.Response, n *tally) error {
	e := ReadError(resp)
	limit, count := r.tries(), &n.failed
	if e.throttled {
		limit, count = maxThrottled, &n.throttled
	}
	*count++
	if n.since.IsZero() {
		n.since = time.Now()
	}
	n.wait = h.transport.backoff(n.failed + n.throttled)
	pause := max(e.wait, n.wait)
	switch patience := h.transport.options.Limits.Patience; {
	case e.UsedUp():
		limit, pause = 0, 0 // only this request fails: other requests may succeed
	case e.throttled && time.Since(n.since)+pause > patience:
		limit = 0
	}
	if over := h.failing(e, pause); over != nil {
		return over
	}
	if *count >= limit {
		if e.throttled {
			e.tries = *count
		}
		return e
	}
	h.waiting(time.Now().Add(n.wait), e.said())
	h.logFailure("%s %s: try %d: %v: trying again", r.Method, r.where(), *count, e)
	return nil
}

// Pause waits between two tries. The wait grows exponentially and has jitter.
func (t *Transport) Pause(ctx context.Context, tried int) error {
	return sleep(ctx, t.backoff(tried), nil)
}

// backoff returns the wait before the next try. It grows exponentially and has jitter.
func (t *Transport) backoff(tried int) time.Duration {
	d := min(maxBackoff, t.options.Backoff<<min(tried-1, 10))
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d. The wait ends early if over is closed.
func sleep(ctx context.Context, d time.Duration, over <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (r *Request) tries() int {
	if r.Tries > 0 {
		return r.Tries
	}
	return maxTries
}
