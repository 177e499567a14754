package registry

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"cip/pkg/image"
	"cip/pkg/inventory"
	"cip/pkg/registry/internal/wire"
)

// MaxManifest is the size of the largest manifest that is read, in bytes. Registries
// take 4 MiB at least (OCI distribution-spec, "Pushing manifests").
const MaxManifest = 8 << 20

// manifestTypes is what may come back for a manifest. A registry that is not told
// all of them may answer with other bytes than were pushed.
var manifestTypes = strings.Join([]string{
	typeOCIManifest, TypeIndex, typeDockerManifest, typeDockerList, typeOCIArtifact,
	"application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.docker.distribution.manifest.v1+json", "*/*;q=0.1",
}, ", ")

// bodyTries is how often a body that breaks off or comes out wrong is read.
const bodyTries = 4

// Manifest is a manifest as a registry serves it. Raw is never re-encoded.
type Manifest struct {
	Digest    string // "algorithm:hex", computed from Raw unless it was asked for by digest and verified
	MediaType string
	Raw       []byte
}

// Resolve returns the digest that a tag points to: one HEAD.
func (c *Client) Resolve(ctx context.Context, repo image.Repository, tag string) (image.Digest, inventory.State, error) {
	h, err := c.head(ctx, repo, tag)
	s, err := state(err)
	return h.digest, s, err
}

// Has returns whether a repository holds a manifest: one HEAD.
func (c *Client) Has(ctx context.Context, repo image.Repository, digest string) (inventory.State, error) {
	_, err := c.head(ctx, repo, digest)
	return state(err)
}

// headed is what a HEAD tells of a manifest.
type headed struct {
	digest    image.Digest
	mediaType string
}

// head asks for a manifest's digest and type. Registries that do not answer HEAD, or
// answer it without a sha256 digest, are asked for the manifest itself.
func (c *Client) head(ctx context.Context, repo image.Repository, ref string) (headed, error) {
	resp, err := c.do(ctx, c.manifestRequest(http.MethodHead, repo, ref), http.StatusOK)
	if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusMethodNotAllowed {
		return c.headByGet(ctx, repo, ref)
	}
	if err != nil {
		return headed{}, err
	}
	resp.Body.Close()
	h := headed{mediaType: mediaTypeOf(resp.Header.Get("Content-Type"), nil)}
	if h.digest, err = image.ParseDigest(resp.Header.Get("Docker-Content-Digest")); err == nil {
		return h, nil
	}
	if strings.Contains(ref, ":") {
		h.digest = image.Digest(ref) // asked for by digest: it is there
		return h, nil
	}
	return c.headByGet(ctx, repo, ref)
}

func (c *Client) headByGet(ctx context.Context, repo image.Repository, ref string) (headed, error) {
	m, err := c.Manifest(ctx, repo, ref)
	if err != nil {
		return headed{}, err
	}
	return headed{image.Digest(DigestOf(m.Raw)), m.MediaType}, nil
}

// Manifest reads a manifest by tag or digest. Asked for by digest, its bytes are verified.
func (c *Client) Manifest(ctx context.Context, repo image.Repository, ref string) (*Manifest, error) {
	for try := 1; ; try++ {
		m, err := c.manifest(ctx, repo, ref)
		var broken *bodyError
		if err == nil || !errors.As(err, &broken) || try == bodyTries || ctx.Err() != nil {
			return m, err
		}
		c.log.Debugf("reading %s of %s again: %v", ref, repo, err)
	}
}

func (c *Client) manifest(ctx context.Context, repo image.Repository, ref string) (*Manifest, error) {
	resp, err := c.do(ctx, c.manifestRequest(http.MethodGet, repo, ref), http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.ContentLength > MaxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes: more than %d are refused", resp.ContentLength, MaxManifest)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
	if err != nil {
		return nil, &bodyError{fmt.Errorf("reading the manifest's bytes: %w", err)}
	}
	if len(raw) > MaxManifest {
		return nil, fmt.Errorf("the manifest has more than %d bytes: refused", MaxManifest)
	}
	m := &Manifest{Raw: raw, Digest: ref}
	algorithm, _, byDigest := strings.Cut(ref, ":")
	if !byDigest {
		algorithm = "sha256"
	}
	got := digestOf(algorithm, raw)
	if byDigest && got != ref {
		return nil, &bodyError{fmt.Errorf("the registry served other bytes: they have digest %s", got)}
	}
	m.Digest = got
	m.MediaType = mediaTypeOf(resp.Header.Get("Content-Type"), raw)
	return m, nil
}

func (c *Client) manifestRequest(method string, repo image.Repository, ref string) *wire.Request {
	return &wire.Request{
		Method: method, Repo: repo, Path: repo.Path + "/manifests/" + ref,
		Header: http.Header{"Accept": {manifestTypes}},
	}
}

// bodyError is a body that broke off or is not what its digest says.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// newHash returns the hash of a digest algorithm, or nil.
func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	}
	return nil
}

func digestOf(algorithm string, b []byte) string {
	h := newHash(algorithm)
	if h == nil {
		return ""
	}
	h.Write(b)
	return algorithm + ":" + hex.EncodeToString(h.Sum(nil))
}

// DigestOf returns the sha256 digest of bytes.
func DigestOf(b []byte) string { return digestOf("sha256", b) }
