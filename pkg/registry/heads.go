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

// notFound confirms with a GET that a manifest is absent, if that is necessary.
//
// absent is the error of the HEAD request.
func (c *Client) notFound(ctx context.Context, repo name.Repository, ref string, other hint, absent error) (headed, error) {
	host := c.host(repo)
	if !host.headFails.Load() && (other == unlisted || other == unasked && host.headFinds.Load()) {
		return headed{}, absent
	}
	h, err := c.headByGet(ctx, repo, ref)
	var e *Error
	switch {
	case err == nil:
		host.headFails.Store(true)
	case other == listed && errors.Is(err, ErrNotFound) && errors.As(err, &e) && e.Status != http.StatusNotFound:
		return headed{}, fmt.Errorf("the tag list names it: %w", e) // a status that means absent elsewhere
	}
	return h, err
}

// listSays returns the hint for a tag that is not resolved yet.
func (c *Client) listSays(repo name.Repository) hint {
	if c.repos.Of(repo).listed.Load() {
		return unlisted
	}
	return unasked
}
