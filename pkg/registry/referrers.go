package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"cip/pkg/image"
	"cip/pkg/strictjson"
)

// FallbackTag returns the tag that lists a digest's referrers in registries
// without the referrers API (OCI distribution-spec, "Referrers tag schema").
func FallbackTag(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm[:min(len(algorithm), 32)] + "-" + hex[:min(len(hex), 64)]
}

var errManyReferrers = fmt.Errorf("more than %d", MaxChildren)

// Referrers returns the manifests that refer to a digest: those that the referrers
// API names and, where hasTag says so, those of the fallback tag.
func (c *Client) Referrers(ctx context.Context, repo image.Repository, digest string, hasTag func(string) bool) ([]Descriptor, error) {
	var all []Descriptor
	if c.tryReferrers(repo.Host) {
		listed, err := c.referrersAPI(ctx, repo, digest)
		if err != nil {
			return nil, fmt.Errorf("listing referrers of %s: %w", digest, err)
		}
		all = listed
	}
	if tag := FallbackTag(digest); hasTag(tag) {
		m, err := c.Manifest(ctx, repo, tag)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("reading the referrers tag %s: %w", tag, err)
		}
		if err == nil {
			content, err := m.Parse()
			if err != nil {
				return nil, fmt.Errorf("reading the referrers tag %s: %w", tag, err)
			}
			all = append(all, content.Children...)
		}
	}
	if len(all) > MaxChildren {
		return nil, fmt.Errorf("listing referrers of %s: %w", digest, errManyReferrers)
	}
	return distinct(all)
}

// referrersAPI asks the referrers API, and remembers of a host that it has none.
func (c *Client) referrersAPI(ctx context.Context, repo image.Repository, digest string) ([]Descriptor, error) {
	var all []Descriptor
	list := listing{repo: repo, path: repo.Path + "/referrers/" + digest, accept: TypeIndex}
	err := c.pages(ctx, list, func(body io.Reader) (func() int, error) {
		var index struct {
			Manifests []Descriptor `json:"manifests"`
		}
		raw, err := io.ReadAll(io.LimitReader(body, MaxManifest))
		if err == nil {
			err = strictjson.Unmarshal(raw, &index)
		}
		if err != nil {
			return nil, fmt.Errorf("parsing the list: %w", err)
		}
		if len(all)+len(index.Manifests) > MaxChildren {
			return nil, errManyReferrers
		}
		return func() int {
			all = append(all, index.Manifests...)
			return len(index.Manifests)
		}, nil
	})
	missing := errors.Is(err, errOtherType) // something else answers there
	var e *Error
	if errors.As(err, &e) {
		switch e.Status {
		case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
			missing = true
		}
	}
	if missing {
		c.setReferrers(repo.Host, false)
		return nil, nil
	}
	return all, err
}

// tryReferrers reports whether a host may have the referrers API.
func (c *Client) tryReferrers(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	has, tried := c.referrers[host]
	return has || !tried
}

func (c *Client) setReferrers(host string, has bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.referrers[host] = has
}
