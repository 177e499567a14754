package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

const (
	sharedPrefix = "shared "       // of keys for credentials of several principals; the key of a principal begins with its host
	maxEarly     = 5 * time.Minute // credentials are renewed this long before they expire, or a tenth of their lifetime
)

// errAbsent means that an identity is not configured.
//
// It is cached for the whole run.
var errAbsent = errors.New("not configured")

// answer is the result of a look-up. It is an authn.Authenticator.
//
// It is cached for keep if that is set, else until renew if that is set, else until
// shortly before the credential expires.
type answer struct {
	cred  Credential
	keep  time.Duration
	renew time.Time
}

// entry is a cached credential or failure.
type entry struct {
	cred  Credential
	err   error
	renew time.Time // when to look it up again; zero: never
}

// cache holds answers by key. Concurrent callers of one key share one look-up.
type cache struct {
	now     func() time.Time
	warn    func(key, text string)
	flight  singleflight.Group
	mu      sync.Mutex
	entries map[string]*entry
}

// get returns the cached answer for key, or calls ask.
//
// A caller whose ctx ends returns at once. The look-up continues for the others, for
// resolveWithin at most.
func (c *cache) get(ctx context.Context, key string, ask func(context.Context) (answer, error)) (answer, error) {
	if e := c.fresh(key); e != nil {
		return e.answer()
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	done := c.flight.DoChan(key, func() (any, error) {
		if e := c.fresh(key); e != nil { // another look-up ended after the check above
			return e, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveWithin)
		defer cancel()
		a, err := ask(ctx)
		if err != nil && ctx.Err() != nil {
			// Not wrapped: it must not look like the end of the caller's context.
			err = inventory.Retryable(fmt.Errorf("no answer within %v", resolveWithin))
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

// fresh returns the entry of key, or nil to look it up.
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

// settle caches a look-up's result and returns the entry.
//
// A credential that could not be renewed is used until it expires.
func (c *cache) settle(key string, a answer, err error) *entry {
	now := c.now()
	c.mu.Lock()
	e := next(c.entries[key], a, err, now)
	c.entries[key] = e
	c.mu.Unlock()
	if err != nil && e.err == nil {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, sharedPrefix), " ")
		c.warn("renewing "+key, fmt.Sprintf("credentials for %s could not be renewed and are used until they expire: %v", name, err))
	}
	return e
}

// next returns the entry that replaces old after a look-up.
//
// The look-up returned a, or err.
func next(old *entry, a answer, err error, now time.Time) *entry {
	// An anonymous answer, as for a skipped identity, never replaces a credential that is still valid.
	skipped := err == nil && a.cred.Anonymous()
	switch {
	case old.valid(now) && (err != nil || skipped && !old.cred.Expires.IsZero()):
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

// forget drops a refused credential under key and under the shared keys.
func (c *cache) forget(key string, refused Credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.entries {
		if (k == key || strings.HasPrefix(k, sharedPrefix)) && e.err == nil && e.cred.same(refused) {
			delete(c.entries, k)
		}
	}
}

// answer returns the content of e.
//
// An entry that is copied from it is renewed with it.
func (e *entry) answer() (answer, error) {
	return answer{cred: e.cred, renew: e.renew}, e.err
}

// valid reports whether e holds an unexpired credential.
func (e *entry) valid(now time.Time) bool {
	return e != nil && e.err == nil && !e.cred.Anonymous() &&
		(e.cred.Expires.IsZero() || now.Before(e.cred.Expires))
}
