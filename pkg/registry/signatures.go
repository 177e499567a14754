package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// How cosign attaches signatures: a manifest under the tag of FallbackTag and
// image.SignatureSuffix, or one that refers to the digest, each layer of which is a signature;
// or one that refers to the digest and has a sigstore bundle as its layer.
const (
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	predicateAnnotation = "dev.sigstore.bundle.predicateType"
)

// Bounds of what belongs to one digest.
const (
	maxSignature  = 4 << 20 // bytes of a payload or bundle; they have some hundred
	maxSignatures = 200     // manifests that may hold signatures, and layers of one
)

// Signature is a signature of a digest, not verified.
type Signature struct {
	Where     string // the reference of the manifest that holds it
	Payload   []byte // what is signed
	Signature string // of Payload, in base64
	Bundle    []byte // in place of the two: a sigstore bundle
}

// Signatures reads the signatures that a repository holds of a digest: those of
// cosign's tag, then those of manifests that refer to the digest. What cannot be
// read comes as an error among them. Whoever has found what they look for stops
// the reading.
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

// mayHoldSignature reports whether a referrer is a signature, as far as its descriptor tells.
func mayHoldSignature(d v1.Descriptor) bool {
	if p := d.Annotations[predicateAnnotation]; p != "" && p != image.CosignPredicate {
		return false // a bundle that says something else about the image
	}
	switch t := types.MediaType(d.ArtifactType); t {
	case "", image.CosignSignature, image.CosignSimpleSigning, types.OCIConfigJSON, types.OCIEmptyJSON:
		return true
	}
	return strings.HasPrefix(d.ArtifactType, image.SigstoreBundlePrefix)
}

// signaturesOf yields the signatures of one manifest, if it exists and, unless subject is
// empty, refers to that, and returns whether to go on.
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
		return true // a list may name anything
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

// signatureLayers returns the layers of a manifest that are signatures. The same
// payload may be signed with several keys: a digest may come more than once.
func signatureLayers(m *Manifest) ([]v1.Descriptor, error) {
	if _, err := m.Parse(); err != nil {
		return nil, err
	}
	var doc struct {
		Layers []v1.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return nil, fmt.Errorf("parsing the manifest: %w", err)
	}
	var layers []v1.Descriptor
	for _, l := range doc.Layers {
		if l.MediaType == image.CosignSimpleSigning && l.Annotations[signatureAnnotation] != "" || strings.HasPrefix(string(l.MediaType), image.SigstoreBundlePrefix) {
			layers = append(layers, l)
		}
	}
	if len(layers) > maxSignatures {
		return nil, fmt.Errorf("it holds %d signatures: more than %d are refused", len(layers), maxSignatures)
	}
	return layers, nil
}

// signature reads one signature.
func (c *Client) signature(ctx context.Context, repo name.Repository, l v1.Descriptor) (Signature, error) {
	if l.Size > maxSignature {
		return Signature{}, fmt.Errorf("layer %s has %d bytes: more than %d are refused", l.Digest, l.Size, maxSignature)
	}
	var b bytes.Buffer
	if err := c.FetchBlob(ctx, repo, l, &b); err != nil {
		return Signature{}, fmt.Errorf("reading layer %s: %w", l.Digest, err)
	}
	if l.MediaType == image.CosignSimpleSigning {
		return Signature{Payload: b.Bytes(), Signature: l.Annotations[signatureAnnotation]}, nil
	}
	return Signature{Bundle: b.Bytes()}, nil
}
