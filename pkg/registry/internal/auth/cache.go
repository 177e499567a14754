package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	sharedPrefix = "shared "       // keys of what several principals present; a principal's key begins with its host
	maxEarly     = 5 * time.Minute // renewal comes this long, or a tenth of the lifetime, before the end
)

// errAbsent is the answer of a source that is not configured; it is held for the whole run.
var errAbsent = errors.New("not configured")

// answer is what a source gave. It is held for keep, until renew, or, where
// neither is given, as long as the credential lasts.
type answer struct {
	cred  Credential
	keep  time.Duration
	renew time.Time
}

// entry is an answer, or a failure, and when to ask again.
type entry struct {
	cred  Credential
	err   error
	renew time.Time // zero: never
}

// cache holds answers by key and lets callers of one key share one look-up.
type cache struct {
	now     func() time.Time
	warn    func(key, text string)
	flight  singleflight.Group
	mu      sync.Mutex
	entries map[string]*entry
}

// get returns the answer held for key, or asks for it. A caller whose ctx
// ends returns at once; the look-up goes on for the others, bounded by resolveWithin.
func (c *cache) get(ctx context.Context, key string, ask func(context.Context) (answer, error)) (answer, error) {
	if e := c.fresh(key); e != nil {
		return e.answer()
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	done := c.flight.DoChan(key, func() (any, error) {
		if e := c.fresh(key); e != nil { // another look-up ended between the check above and this one
			return e, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveWithin)
		defer cancel()
		a, err := ask(ctx)
		if err != nil && ctx.Err() != nil {
			// Not wrapped: it must not look like the end of a caller's own context.
			err = fmt.Errorf("no answer within %v", resolveWithin)
		}
		return c.settle(key, a, err), nil
	})
	select {
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case r := <-done:
		e, ok := r.Val.(*entry)
		if !ok {
			return answer{}, r.Err
		}
		return e.answer()
	}
}

// fresh returns the entry of key unless it is time to renew it.
func (c *cache) fresh(key string) *entry {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil || (!e.renew.IsZero() && !now.Before(e.renew)) {
		return nil
	}
	return e
}

// settle holds what was answered for key and returns it. A credential that could
// not be renewed goes on being used until it ends.
func (c *cache) settle(key string, a answer, err error) *entry {
	now := c.now()
	c.mu.Lock()
	e := next(c.entries[key], a, err, now)
	c.entries[key] = e
	c.mu.Unlock()
	if err != nil && e.err == nil {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, sharedPrefix), " ")
		c.warn("renewing "+key, fmt.Sprintf("credentials for %s could not be renewed and are used until they end: %v", name, err))
	}
	return e
}

// next returns the entry that follows old when asking again gave a or err.
func next(old *entry, a answer, err error, now time.Time) *entry {
	passedOver := err == nil && a.cred.Anonymous() // as ambient does; nobody is no substitute for who is known to last
	switch {
	case old.lasts(now) && (err != nil || passedOver && !old.cred.Expires.IsZero()):
		renew := now.Add(failureKept)
		if end := old.cred.Expires; !end.IsZero() && end.Before(renew) {
			renew = end
		}
		return &entry{cred: old.cred, renew: renew}
	case errors.Is(err, errAbsent):
		return &entry{err: err}
	case err != nil:
		return &entry{err: err, renew: now.Add(failureKept)}
	case a.keep > 0:
		return &entry{cred: a.cred, renew: now.Add(a.keep)}
	case !a.renew.IsZero():
		return &entry{cred: a.cred, renew: a.renew}
	case a.cred.Expires.IsZero():
		return &entry{cred: a.cred}
	}
	early := min(maxEarly, max(0, a.cred.Expires.Sub(now)/10))
	return &entry{cred: a.cred, renew: a.cred.Expires.Add(-early)}
}

// forget drops the entry of key, and what it may have been taken from, if they still are refused.
func (c *cache) forget(key string, refused Credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		if (k == key || strings.HasPrefix(k, sharedPrefix)) && e.err == nil && e.cred.same(refused) {
			delete(c.entries, k)
		}
	}
}

// answer returns what e holds; another entry made of it is renewed with it.
func (e *entry) answer() (answer, error) {
	return answer{cred: e.cred, renew: e.renew}, e.err
}

// lasts reports whether e holds a credential that has not ended.
func (e *entry) lasts(now time.Time) bool {
	return e != nil && e.err == nil && !e.cred.Anonymous() &&
		(e.cred.Expires.IsZero() || now.Before(e.cred.Expires))
}
