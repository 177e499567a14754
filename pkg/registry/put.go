package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// PutResult is the answer of a registry to a manifest.
type PutResult struct {
	Digest  string        // header Docker-Content-Digest, not validated; may be empty
	Subject bool          // the registry links the manifest to its subject (header OCI-Subject)
	There   bool          // the tag pointed to the manifest already, so nothing was put
	Took    time.Duration // set by PutTag: from reading the tag to the answer
}

// Stored returns an error if the registry says that it stored the manifest under another
// digest.
func (r PutResult) Stored(digest v1.Hash) error {
	if r.Digest != "" && r.Digest != digest.String() {
		return fmt.Errorf("the registry stored it under another digest, %.100q", r.Digest)
	}
	return nil
}

// Put writes a manifest by digest.
func (c *Client) Put(ctx context.Context, repo name.Repository, digest v1.Hash, m *Manifest) (PutResult, error) {
	return c.send(ctx, putRequest(repo, digest.String(), m))
}

var (
	errThere  = errors.New("the tag points to the manifest already")
	errHidden = errors.New("the registry does not show whether the tag exists")
)

// PutTag writes a tag's manifest, if may returns nil.
//
// It reads the tag right before each try and calls may with the digest that the tag
// points to, or zero. If the tag points to the manifest already, it writes nothing.
// An earlier try without an answer can be the reason.
//
// A status in absent-status does not say whether the tag exists. PutTag then puts the
// manifest by digest first, because after that the status has no such meaning.
func (c *Client) PutTag(ctx context.Context, repo name.Repository, tag string, m *Manifest, may func(at v1.Hash) error) (PutResult, error) {
	res, err := c.putTag(ctx, repo, tag, m, may)
	if !errors.Is(err, errHidden) || c.repos.Of(repo).put.Load() {
		return res, err
	}
	if _, err := c.Put(ctx, repo, m.Digest, m); err != nil {
		return PutResult{}, err
	}
	return c.putTag(ctx, repo, tag, m, may)
}

func (c *Client) putTag(ctx context.Context, repo name.Repository, tag string, m *Manifest, may func(at v1.Hash) error) (PutResult, error) {
	var began time.Time
	var unsent error // why the last try did not come to the PUT
	r := putRequest(repo, tag, m)
	r.Before = func(ctx context.Context) error {
		began = time.Now()
		at, err := c.at(ctx, repo, tag)
		switch {
		case err != nil:
			unsent = fmt.Errorf("reading tag %s before writing it: %w", tag, err)
		case at == m.Digest:
			unsent = errThere
		default:
			unsent = may(at)
		}
		return unsent
	}
	res, err := c.send(ctx, r)
	if err != nil && unsent == nil && ctx.Err() == nil && unknownOutcome(err) {
		if at, bad := c.at(ctx, repo, tag); bad == nil && at == m.Digest {
			err = errThere // by the last try
		}
	}
	if errors.Is(err, errThere) {
		return PutResult{Digest: m.Digest.String(), There: true}, nil
	}
	res.Took = time.Since(began)
	return res, err
}

// at returns the digest that a tag points to, or zero if the tag certainly does not exist.
func (c *Client) at(ctx context.Context, repo name.Repository, tag string) (v1.Hash, error) {
	at, state, err := c.Resolve(strict(ctx), repo, tag)
	if state == inventory.Unknown && c.isAbsentStatus(repo, statusOf(err)) {
		return v1.Hash{}, fmt.Errorf("%w: %w", errHidden, err)
	}
	return at, err
}

// unknownOutcome reports whether a failed write may have succeeded.
func unknownOutcome(err error) bool {
	status := statusOf(err)
	return status == 0 || status >= http.StatusInternalServerError
}

// putRequest returns the request that writes a manifest under a tag or digest.
func putRequest(repo name.Repository, ref string, m *Manifest) *wire.Request {
	return &wire.Request{
		Method: http.MethodPut, Repo: repo, Path: repo.RepositoryStr() + "/manifests/" + ref, Access: wire.Push,
		Header: http.Header{"Content-Type": {string(m.MediaType)}},
		Body:   BytesBody(m.Raw), Length: int64(len(m.Raw)), Grace: true,
	}
}

// send sends a request that writes a manifest, and records that the repository exists.
func (c *Client) send(ctx context.Context, r *wire.Request) (PutResult, error) {
	resp, err := c.do(ctx, r, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return PutResult{}, err
	}
	resp.Body.Close()
	c.repos.Of(r.Repo).put.Store(true)
	return PutResult{Digest: resp.Header.Get("Docker-Content-Digest"), Subject: resp.Header.Get("OCI-Subject") != ""}, nil
}

// ReadBack returns the digest of a reference that was written, or zero if it is absent.
//
// Only 404 means absent, and a GET confirms a 404 to HEAD.
func (c *Client) ReadBack(ctx context.Context, repo name.Repository, ref string) (v1.Hash, error) {
	at, state, err := c.Resolve(strict(ctx), repo, ref)
	if state != inventory.Absent {
		return at, err
	}
	m, err := c.Manifest(strict(ctx), repo, ref)
	switch {
	case errors.Is(err, ErrNotFound):
		return v1.Hash{}, nil
	case err != nil:
		return v1.Hash{}, err
	}
	return m.Digest, nil
}

// strictKey marks a context in which only 404 means absent.
type strictKey struct{}

func strict(ctx context.Context) context.Context { return context.WithValue(ctx, strictKey{}, true) }

func isStrict(ctx context.Context) bool { return ctx.Value(strictKey{}) != nil }
