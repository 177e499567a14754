package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Limits for the signatures of one digest.
const (
	maxSignature  = 4 << 20 // bytes of a payload or bundle, which usually has a few hundred
	maxSignatures = 200     // manifests with signatures, and layers of one manifest
)

// Signature is a signature of a digest, not verified.
type Signature struct {
	Where       string            // the reference of the manifest that holds it
	Payload     []byte            // the signed bytes
	Annotations map[string]string // of the layer with Payload: the signature, and what verifies it
	Bundle      []byte            // a sigstore bundle; Payload and Annotations are then empty
}

// Signatures reads the signatures of a digest in a repository.
//
// Cosign attaches them in three ways. Each layer of a manifest is a signature, and the
// manifest has the tag of FallbackTag and image.SignatureSuffix, or refers to the digest.
// Or a manifest refers to the digest and has a sigstore bundle as its layer.
//
// Those under cosign's tag come first, then those of manifests that refer to the
// digest. A signature that cannot be read is an error in the sequence. Signatures are
// read one by one, so a caller that stops early saves requests.
func (c *Client) Signatures(ctx context.Context, repo name.Repository, digest v1.Hash) iter.Seq2[Signature, error] {
	return func(yield func(Signature, error) bool) {
		goOn := c.signaturesOf(ctx, repo, FallbackTag(digest)+image.SignatureSuffix, v1.Hash{}, yield)
		if !goOn {
			return
		}
		referrers, err := c.Referrers(ctx, repo, digest, func(string) bool { return true })
		if err != nil {
			yield(Signature{}, err)
			return
		}
		tried := 0
		for _, d := range referrers {
			if !mayHoldSignature(d) {
				continue
			}
			if tried++; tried > maxSignatures {
				yield(Signature{}, fmt.Errorf("more than %d manifests refer to %s", maxSignatures, digest))
				return
			}
			if !c.signaturesOf(ctx, repo, d.Digest.String(), digest, yield) {
				return
			}
		}
	}
}

// mayHoldSignature reports whether a referrer may be a signature, by its descriptor.
func mayHoldSignature(d v1.Descriptor) bool {
	if p := d.Annotations[image.PredicateAnnotation]; p != "" && p != image.CosignPredicate {
		return false // a bundle with another statement about the image
	}
	switch t := types.MediaType(d.ArtifactType); t {
	case "", image.CosignSignature, image.CosignSimpleSigning, types.OCIConfigJSON, types.OCIEmptyJSON:
		return true
	}
	return strings.HasPrefix(d.ArtifactType, image.SigstoreBundlePrefix)
}

// signaturesOf yields the signatures of one manifest, and returns whether to continue.
//
// A manifest that does not exist has none, nor has one that does not refer to subject.
// A zero subject is not compared.
func (c *Client) signaturesOf(ctx context.Context, repo name.Repository, ref string, subject v1.Hash, yield func(Signature, error) bool) bool {
	m, err := c.Manifest(ctx, repo, ref)
	if errors.Is(err, ErrNotFound) {
		return true
	}
	where := repo.String() + ":" + ref
	if strings.Contains(ref, ":") {
		where = repo.String() + "@" + ref
	}
	if err != nil {
		return yield(Signature{}, fmt.Errorf("reading %s: %w", where, err))
	}
	content, err := m.Parse()
	if err != nil {
		return yield(Signature{}, fmt.Errorf("reading %s: %w", where, err))
	}
	if subject != (v1.Hash{}) && !content.Refers(subject) {
		return true // a list of referrers is not reliable
	}
	layers, err := signatureLayers(m)
	if err != nil {
		return yield(Signature{}, fmt.Errorf("reading %s: %w", where, err))
	}
	for _, l := range layers {
		s, err := c.signature(ctx, repo, l)
		s.Where = where
		if err != nil {
			err = fmt.Errorf("reading %s: %w", where, err)
		}
		if !yield(s, err) {
			return false
		}
	}
	return true
}

// signatureLayers returns the layers of a manifest that are signatures.
func signatureLayers(m *Manifest) ([]v1.Descriptor, error) {
	all, err := m.LayerDescriptors()
	if err != nil {
		return nil, err
	}
	var layers []v1.Descriptor
	for _, l := range all {
		if l.MediaType == image.CosignSimpleSigning && l.Annotations[image.CosignSignatureAnnotation] != "" || strings.HasPrefix(string(l.MediaType), image.SigstoreBundlePrefix) {
			layers = append(layers, l)
		}
	}
	if len(layers) > maxSignatures {
		return nil, fmt.Errorf("it holds %d signatures: more than %d are refused", len(layers), maxSignatures)
	}
	return layers, nil
}

// signature reads the signature in one layer.
func (c *Client) signature(ctx context.Context, repo name.Repository, l v1.Descriptor) (Signature, error) {
	if l.Size > maxSignature {
		return Signature{}, fmt.Errorf("layer %s has %d bytes: more than %d are refused", l.Digest, l.Size, maxSignature)
	}
	var b bytes.Buffer
	if err := c.FetchBlob(ctx, repo, l, &b); err != nil {
		return Signature{}, fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	if l.MediaType == image.CosignSimpleSigning {
		return Signature{Payload: b.Bytes(), Annotations: l.Annotations}, nil
	}
	return Signature{Bundle: b.Bytes()}, nil
}
