package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// MaxManifest is the maximum size of a manifest, in bytes.
//
// Registries accept at least 4 MiB (OCI distribution-spec, "Pushing manifests").
const MaxManifest = 8 << 20

// manifestTypes is the Accept header of requests for manifests.
//
// Without it, a registry may convert a manifest and answer with other bytes than were pushed.
var manifestTypes = strings.Join([]string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex), string(types.DockerManifestSchema2), string(types.DockerManifestList),
	string(image.OCIArtifactManifest), string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1), "*/*;q=0.1",
}, ", ")

// bodyTries is the maximum number of reads of a body that breaks off or has other bytes.
const bodyTries = 4

// lateTries is the maximum number of reads of a body that does not arrive in time. It
// is smaller than bodyTries because each try may take as long.
const lateTries = 2

// lastTry reports whether a body whose read failed is not read again.
func lastTry(try int, err error) bool {
	return try >= bodyTries || try >= lateTries && wire.Late(err)
}

// Manifest is a manifest with the bytes from a registry.
//
// Raw is never encoded again, because that would change the digest.
type Manifest struct {
	Digest    v1.Hash // computed from Raw, or verified if the manifest was read by digest
	MediaType types.MediaType
	Raw       []byte

	content *Content // of a manifest that a registry sent; else nil
}

// Resolve returns the digest that a tag points to. It sends one HEAD.
func (c *Client) Resolve(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error) {
	return resolved(c.head(ctx, repo, tag, c.listSays(repo)))
}

// ResolveListed is Resolve for a tag that is in the repository's tag list.
//
// If HEAD does not find the tag, a GET confirms that.
func (c *Client) ResolveListed(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error) {
	return resolved(c.head(ctx, repo, tag, listed))
}

// ResolveUnconfirmed is Resolve without confirming an absent tag by GET.
//
// It is for tags that are confirmed later, or written whatever they point to. A GET
// is only sent if HEAD on the host has failed to find a manifest that exists.
func (c *Client) ResolveUnconfirmed(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error) {
	return resolved(c.head(ctx, repo, tag, unlisted))
}

// Confirm looks again for a tag that ResolveUnconfirmed did not find.
//
// It sends no request and finds nothing if HEAD has found something on the host by now.
func (c *Client) Confirm(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error) {
	return resolved(c.notFound(ctx, repo, tag, unasked, ErrNotFound))
}

func resolved(h headed, err error) (v1.Hash, inventory.State, error) {
	s, err := state(err)
	return h.digest, s, err
}

// Has returns whether a repository holds a manifest. It sends one HEAD.
func (c *Client) Has(ctx context.Context, repo name.Repository, digest v1.Hash) (inventory.State, error) {
	_, err := c.head(ctx, repo, digest.String(), unlisted)
	return state(err)
}

// headed is the digest and type of a manifest, from a HEAD request.
type headed struct {
	digest    v1.Hash
	mediaType types.MediaType
}

// head returns the digest and media type of a manifest.
//
// If the answer to HEAD is not reliable, it reads the manifest.
func (c *Client) head(ctx context.Context, repo name.Repository, ref string, other hint) (headed, error) {
	resp, err := c.do(ctx, c.manifestRequest(http.MethodHead, repo, ref), http.StatusOK)
	if errors.Is(err, ErrNotFound) {
		return c.notFound(ctx, repo, ref, other, err)
	}
	if isMethodRefused(err) {
		return c.headByGet(ctx, repo, ref)
	}
	if err != nil {
		return headed{}, err
	}
	resp.Body.Close()
	if h, ok := readHead(resp.Header, ref); ok {
		c.host(repo).headFinds.Store(true)
		return h, nil
	}
	return c.headByGet(ctx, repo, ref)
}

// readHead parses the header of an answer to HEAD.
//
// It returns false if the header has no digest or not the media type of a manifest,
// because any web page could have such a header.
func readHead(h http.Header, ref string) (headed, bool) {
	mediaType := contentType(h)
	served := h.Get("Docker-Content-Digest")
	d, err := image.ParseDigest(served)
	switch {
	case !known(mediaType) && !mediaType.IsSchema1():
		return headed{}, false
	case strings.Contains(ref, ":"): // a digest of another algorithm cannot be compared
		return headed{image.Hash(ref), mediaType}, served == ref
	}
	return headed{d, mediaType}, err == nil
}

func (c *Client) headByGet(ctx context.Context, repo name.Repository, ref string) (headed, error) {
	m, err := c.Manifest(ctx, repo, ref)
	if err != nil {
		return headed{}, err
	}
	return headed{DigestOf(m.Raw), m.MediaType}, nil
}

// Manifest reads a manifest by tag or digest.
//
// If ref is a digest, the bytes are verified. It is an error if the answer is not a manifest.
func (c *Client) Manifest(ctx context.Context, repo name.Repository, ref string) (*Manifest, error) {
	for try := 1; ; try++ {
		m, err := c.manifest(ctx, repo, ref)
		var broken *bodyError
		if err == nil || !errors.As(err, &broken) || lastTry(try, err) || ctx.Err() != nil {
			return m, err
		}
		c.log.Debugf("reading %s of %s again: %v", ref, repo, err)
	}
}

func (c *Client) manifest(ctx context.Context, repo name.Repository, ref string) (m *Manifest, err error) {
	defer c.clean(&err)
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
	algorithm, _, byDigest := strings.Cut(ref, ":")
	if !byDigest {
		algorithm = "sha256"
	}
	mediaType, content, wrong := parse(raw, contentType(resp.Header))
	got := digestOf(algorithm, raw)
	if byDigest && got.String() != ref && !errors.Is(wrong, errSchema1) {
		return nil, &bodyError{fmt.Errorf("the registry served other bytes: they have digest %s", got)}
	}
	if wrong != nil {
		return nil, wrong
	}
	return &Manifest{Digest: got, MediaType: mediaType, Raw: raw, content: content}, nil
}

func (c *Client) manifestRequest(method string, repo name.Repository, ref string) *wire.Request {
	return &wire.Request{
		Method: method, Repo: repo, Path: repo.RepositoryStr() + "/manifests/" + ref,
		Header: http.Header{"Accept": {manifestTypes}},
	}
}

// bodyError is the error for a body that breaks off or does not have its digest.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

// digestOf returns the digest of b, or the zero value if algorithm is not supported.
func digestOf(algorithm string, b []byte) v1.Hash {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}
	}
	h.Write(b)
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}
}

// DigestOf returns the sha256 digest of b.
func DigestOf(b []byte) v1.Hash { return digestOf("sha256", b) }

// contentType returns the media type of an answer, without parameters.
func contentType(h http.Header) types.MediaType {
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return types.MediaType(t)
}
