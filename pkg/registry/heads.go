package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
)

// Some registries, and proxies before them, answer HEAD for every manifest with 404.
// A 404 is believed where nothing contradicts it; what contradicts it is a tag list that
// names the tag, or that HEAD failed to find something on the host before.

// hint is what another answer says of a manifest that HEAD may not find.
type hint int

const (
	unasked  hint = iota // there is no other answer
	unlisted             // nothing names it
	listed               // the tag list names it
)

// heads is what has been learned of the HEAD requests of a host.
type heads int

const (
	truthful heads = iota + 1 // it has found a manifest
	lying                     // it has not found a manifest that GET has found
)

// notFound confirms by GET that a manifest which HEAD did not find is absent, unless
// that can be believed. absent is the answer to HEAD.
func (c *Client) notFound(ctx context.Context, repo name.Repository, ref string, other hint, absent error) (headed, error) {
	c.mu.Lock()
	host := c.heads[repo.RegistryStr()]
	c.mu.Unlock()
	if other == unlisted && host != lying || other == unasked && host == truthful {
		return headed{}, absent
	}
	h, err := c.headByGet(ctx, repo, ref)
	var e *Error
	switch {
	case err == nil:
		c.setHeads(repo.RegistryStr(), lying)
	case other == listed && errors.Is(err, ErrNotFound) && errors.As(err, &e) && e.Status != http.StatusNotFound:
		return headed{}, fmt.Errorf("the tag list names it: %w", e) // a status that means absent elsewhere
	}
	return h, err
}

// setHeads records what was learned of a host's HEAD requests. One that has lied is not
// believed again in this run.
func (c *Client) setHeads(host string, h heads) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads[host] = max(c.heads[host], h)
}

// setListed records that Read has read a repository's tag list: it has resolved the tags
// that the list names, so that the others are those which it lacks.
func (c *Client) setListed(repo name.Repository) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed[repo] = struct{}{}
}

// listSays returns what is known of a tag before it is resolved.
func (c *Client) listSays(repo name.Repository) hint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.listed[repo]; ok {
		return unlisted
	}
	return unasked
}
