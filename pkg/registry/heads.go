package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
)

// Some registries, and proxies in front of them, answer every HEAD for a manifest with
// 404. So a GET confirms a 404 if the tag list has the tag, or if HEAD on the host has
// failed to find an existing manifest before.

// hint is what other answers say about a manifest that HEAD may not find.
type hint int

const (
	unasked  hint = iota // there is no other answer
	unlisted             // no other answer has it
	listed               // the tag list has it
)

// heads is what is known about a host's HEAD responses.
type heads int

const (
	reliable   heads = iota + 1 // HEAD has found a manifest
	unreliable                  // HEAD has not found a manifest that GET has found
)

// notFound confirms with a GET that a manifest is absent, if that is necessary.
//
// absent is the error of the HEAD request.
func (c *Client) notFound(ctx context.Context, repo name.Repository, ref string, other hint, absent error) (headed, error) {
	c.mu.Lock()
	host := c.heads[repo.RegistryStr()]
	c.mu.Unlock()
	if other == unlisted && host != unreliable || other == unasked && host == reliable {
		return headed{}, absent
	}
	h, err := c.headByGet(ctx, repo, ref)
	var e *Error
	switch {
	case err == nil:
		c.setHeads(repo.RegistryStr(), unreliable)
	case other == listed && errors.Is(err, ErrNotFound) && errors.As(err, &e) && e.Status != http.StatusNotFound:
		return headed{}, fmt.Errorf("the tag list names it: %w", e) // a status that means absent elsewhere
	}
	return h, err
}

// setHeads records what is known about a host's HEAD responses.
//
// A host that was unreliable stays so.
func (c *Client) setHeads(host string, h heads) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads[host] = max(c.heads[host], h)
}

// setListed records that Read has read the tag list of a repository, and whether the
// repository held nothing.
//
// Read resolves the tags in the list. All other tags are absent.
func (c *Client) setListed(repo name.Repository, empty bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed[repo] = empty
}

// AssumeEmpty makes WasEmpty report that a repository held nothing. It is not read.
func (c *Client) AssumeEmpty(repo name.Repository) { c.setListed(repo, true) }

// WasEmpty reports whether Read found a repository to hold nothing.
//
// There may be blobs that no manifest refers to, and digests without tags.
func (c *Client) WasEmpty(repo name.Repository) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listed[repo]
}

// listSays returns the hint for a tag that is not resolved yet.
func (c *Client) listSays(repo name.Repository) hint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.listed[repo]; ok {
		return unlisted
	}
	return unasked
}
