package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"cip/pkg/image"
	"cip/pkg/registry/internal/wire"
)

// FallbackTag returns the tag that lists a digest's referrers in registries
// without the referrers API (OCI distribution-spec, "Referrers tag schema").
func FallbackTag(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm[:min(len(algorithm), 32)] + "-" + hex[:min(len(hex), 64)]
}

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
		return nil, fmt.Errorf("listing referrers of %s: more than %d", digest, MaxChildren)
	}
	return distinct(all)
}

func (c *Client) referrersAPI(ctx context.Context, repo image.Repository, digest string) ([]Descriptor, error) {
	r := &wire.Request{
		Method: http.MethodGet, Repo: repo, Path: repo.Path + "/referrers/" + digest, Header: http.Header{"Accept": {typeOCIIndex}},
	}
	var all []Descriptor
	seen := map[string]struct{}{}
	for {
		resp, err := c.do(ctx, r, http.StatusOK)
		var e *Error
		if errors.As(err, &e) {
			switch e.Status {
			case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
				c.setReferrers(repo.Host, false)
				return nil, nil
			}
		}
		if err != nil {
			return nil, err
		}
		next, listed, err := referrersPage(resp)
		if err != nil {
			return nil, err
		}
		if listed == nil { // something else answers there
			c.setReferrers(repo.Host, false)
			return nil, nil
		}
		all = append(all, listed...)
		if next == nil || len(all) > MaxChildren {
			return all, nil
		}
		if _, again := seen[next.RequestURI()]; again || next.Host != resp.Request.URL.Host {
			return nil, errors.New("its pages have no end")
		}
		seen[next.RequestURI()] = struct{}{}
		r.URL = next
	}
}

// referrersPage reads one page; the list is nil if it is no index.
func referrersPage(resp *http.Response) (next *url.URL, listed []Descriptor, err error) {
	defer resp.Body.Close()
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != typeOCIIndex {
		return nil, nil, nil
	}
	var index struct {
		Manifests []Descriptor `json:"manifests"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, MaxManifest)).Decode(&index); err != nil {
		return nil, nil, fmt.Errorf("parsing the list: %w", err)
	}
	if link := nextLink(resp.Header.Values("Link")); link != "" {
		if next, err = wire.Resolve(resp.Request.URL, link); err != nil {
			return nil, nil, err
		}
	}
	return next, append([]Descriptor{}, index.Manifests...), nil
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
