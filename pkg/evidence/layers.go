package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// attestationTag returns the tag under which cosign puts attestations of a digest.
func attestationTag(digest v1.Hash) string {
	return registry.FallbackTag(digest) + image.AttestationSuffix
}

// tagged returns the layers with attestations under cosign's tag.
func (r *Reader) tagged(ctx context.Context, repo name.Repository, digest v1.Hash) ([]v1.Descriptor, error) {
	tag := attestationTag(digest)
	m, err := r.from.Manifest(ctx, repo, tag)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tag, err)
	}
	all, err := m.LayerDescriptors()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tag, err)
	}
	var layers []v1.Descriptor
	for _, l := range all {
		if l.MediaType == image.DSSEEnvelope || l.MediaType == image.InTotoStatement {
			layers = append(layers, l)
		}
	}
	return layers, nil
}

// referrer reads the bundles of one referrer. The error is that reading has to stop.
func (r *Reader) referrer(ctx context.Context, where at, listed v1.Descriptor, predicateType string, out *attached) error {
	m, err := r.from.Manifest(ctx, where.repo, where.referrer.String())
	if err != nil {
		return out.skip(ctx, where, err)
	}
	content, err := m.Parse()
	if err != nil {
		return out.skip(ctx, where, err)
	}
	if !content.Refers(where.digest) {
		return out.skip(ctx, where, fmt.Errorf("it is listed as a referrer of %s, and does not refer to it", where.digest))
	}
	own, err := m.ReferrerDescriptor()
	if err != nil {
		return out.skip(ctx, where, err)
	}
	if is := own.Annotations[image.PredicateAnnotation]; predicateType != "" && is != "" && is != predicateType {
		return nil
	}
	layers, err := m.LayerDescriptors()
	if err != nil {
		return out.skip(ctx, where, err)
	}
	found := false
	for _, l := range layers {
		if l.MediaType != image.SigstoreBundle {
			continue
		}
		found = true
		if err := r.bundle(ctx, where, l, out); err != nil {
			return err
		}
	}
	if !found && (listed.ArtifactType == string(image.SigstoreBundle) || own.ArtifactType == string(image.SigstoreBundle)) {
		return out.skip(ctx, where, errors.New("it has the artifact type of a bundle, and no bundle"))
	}
	return nil
}

// skip notes that something could not be read, and was left out. It returns the error of
// a context that has ended.
func (a *attached) skip(ctx context.Context, where at, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes = append(a.notes, fmt.Sprintf("%s: %v", where.uri(), err))
	return nil
}

// bundle reads and verifies one bundle.
func (r *Reader) bundle(ctx context.Context, where at, l v1.Descriptor, out *attached) error {
	return r.layer(ctx, where, l, out, func(raw []byte) (provenance.Attestation, error) {
		a, err := r.trust.Verify(ctx, raw, where.digest)
		a.Digest = l.Digest
		return a, err
	})
}

// taggedLayer reads and verifies one layer under cosign's tag.
func (r *Reader) taggedLayer(ctx context.Context, where at, l v1.Descriptor, out *attached) error {
	return r.layer(ctx, where, l, out, func(raw []byte) (provenance.Attestation, error) {
		if l.MediaType == image.InTotoStatement {
			return unsigned(raw), nil
		}
		b, err := envelopeBundle(raw, l.Annotations)
		if err != nil {
			return provenance.Attestation{State: provenance.Failed, Reason: err.Error(), Digest: l.Digest}, nil
		}
		a, err := r.trust.attestation(ctx, b, where.digest)
		a.Digest = registry.DigestOf(b.GetDsseEnvelope().GetPayload())
		return a, err
	})
}

// unsigned returns the attestation for a statement without a signature.
func unsigned(raw []byte) provenance.Attestation {
	a := provenance.Attestation{State: provenance.Unsigned, Reason: "the layer is a statement without an envelope", Digest: registry.DigestOf(raw)}
	statement, err := provenance.ParseStatement(raw)
	if err != nil {
		a.Reason += "; parsing the statement: " + err.Error()
		return a
	}
	a.Statement = statement
	return a
}

// layer reads a layer and adds the attestation that verify returns for its bytes. A layer
// that cannot be read is left out, and so is a bundle that is not an attestation. Another
// error of verify is about the trusted roots: it concerns all attestations.
func (r *Reader) layer(ctx context.Context, where at, l v1.Descriptor, out *attached, verify func(raw []byte) (provenance.Attestation, error)) error {
	if l.Size > MaxBundle {
		return out.skip(ctx, where, fmt.Errorf("layer %s has %d bytes: more than %d are refused", l.Digest, l.Size, MaxBundle))
	}
	if err := out.grow(where, l.Size); err != nil {
		return err
	}
	weight := max(1, l.Size)
	if err := r.bytes.Acquire(ctx, weight); err != nil {
		return err
	}
	defer r.bytes.Release(weight)
	var b bytes.Buffer
	if err := r.from.FetchBlob(ctx, where.repo, l, &b); err != nil {
		return out.skip(ctx, where, fmt.Errorf("reading layer %s: %w", l.Digest, err))
	}
	a, err := verify(b.Bytes())
	if errors.Is(err, errNoEnvelope) {
		return out.skip(ctx, where, err)
	}
	if err != nil {
		return err
	}
	a.URI, a.Referrer = where.uri(), where.referrer
	out.add(a)
	return nil
}
