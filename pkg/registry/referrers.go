package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// FallbackTag returns the tag of the list of referrers of a digest.
//
// It is used in registries without the referrers API (OCI distribution-spec,
// "Referrers tag schema").
func FallbackTag(digest v1.Hash) string {
	return digest.Algorithm[:min(len(digest.Algorithm), 32)] + "-" + digest.Hex[:min(len(digest.Hex), 64)]
}

var errManyReferrers = fmt.Errorf("more than %d", MaxChildren)

// Referrers returns the descriptors of the manifests that refer to a digest.
//
// It reads the referrers API and, if hasTag returns true for it, the fallback tag.
func (c *Client) Referrers(ctx context.Context, repo name.Repository, digest v1.Hash, hasTag func(string) bool) ([]v1.Descriptor, error) {
	all, _, err := c.referrersAPI(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	if hasTag(FallbackTag(digest)) {
		tagged, err := c.fallbackList(ctx, repo, digest)
		if err != nil {
			return nil, err
		}
		all = append(all, tagged...)
	}
	if len(all) > MaxChildren {
		return nil, fmt.Errorf("listing referrers of %s: %w", digest, errManyReferrers)
	}
	return distinct(all)
}

// ReferrersOrTag returns the descriptors of the manifests that refer to a digest.
//
// It reads the referrers API, and the fallback tag only if there is no such API. One
// request is enough in most registries.
func (c *Client) ReferrersOrTag(ctx context.Context, repo name.Repository, digest v1.Hash) ([]v1.Descriptor, error) {
	all, answered, err := c.referrersAPI(ctx, repo, digest)
	if err == nil && !answered {
		all, err = c.fallbackList(ctx, repo, digest)
	}
	if err != nil {
		return nil, err
	}
	return distinct(all)
}

// fallbackList returns the list under the fallback tag of a digest, empty if there is none.
func (c *Client) fallbackList(ctx context.Context, repo name.Repository, digest v1.Hash) ([]v1.Descriptor, error) {
	tag := FallbackTag(digest)
	m, err := c.Manifest(ctx, repo, tag)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the referrers tag %s: %w", tag, err)
	}
	content, err := m.Parse()
	if err != nil {
		return nil, fmt.Errorf("reading the referrers tag %s: %w", tag, err)
	}
	return content.Children, nil
}

// doubts is the number of failed requests to the referrers API after which a repository
// counts as one without it. One failure may be a temporary fault of a proxy.
const doubts = 3

// HasReferrersAPI reports whether the referrers API lists the manifests that refer to a
// digest. If it does not, the fallback tag does.
//
// It asks until the repository has answered with the API once. The error is that of
// reading the list: nobody would find a manifest that is put there.
func (c *Client) HasReferrersAPI(ctx context.Context, repo name.Repository, digest v1.Hash) (bool, error) {
	known := c.repos.Of(repo)
	known.links.Lock() // concurrent callers ask once
	defer known.links.Unlock()
	if known.referrers.Load() {
		return true, nil
	}
	_, answered, err := c.referrersAPI(ctx, repo, digest)
	return answered, err
}

// referrersAPI lists a digest's referrers with the referrers API.
//
// If the answer is not one of that API, answered is false. It does not mean that the
// whole host has no such API. No request is sent if only failures are known: none
// succeeded on the host, and doubts failed in the repository.
func (c *Client) referrersAPI(ctx context.Context, repo name.Repository, digest v1.Hash) (all []v1.Descriptor, answered bool, err error) {
	host, known := c.host(repo), c.repos.Of(repo)
	if !host.referrers.Load() && known.noReferrers.Load() >= doubts {
		return nil, false, nil
	}
	list := listing{repo: repo, path: repo.RepositoryStr() + "/referrers/" + digest.String(), accept: string(types.OCIImageIndex), home: true}
	err = c.pages(ctx, list, func(body io.Reader) (func() int, error) {
		var index struct {
			Manifests []v1.Descriptor `json:"manifests"`
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
	switch {
	case noReferrersAPI(err):
		known.noReferrers.Add(1)
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("listing referrers of %s: %w", digest, err)
	}
	host.referrers.Store(true)
	known.referrers.Store(true)
	return all, true, nil
}

// noReferrersAPI reports whether an error means that there is no referrers API.
//
// Some hosts have it for some of their repositories only. 401 and 403 do not mean it: the
// list may exist.
func noReferrersAPI(err error) bool {
	if errors.Is(err, errOtherType) || errors.Is(err, wire.ErrElsewhere) || errors.Is(err, ErrNotFound) {
		return true
	}
	status := statusOf(err)
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return true
	}
	return status >= 300 && status < 400
}
