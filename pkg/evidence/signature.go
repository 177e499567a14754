package evidence

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// Signatures reads the signatures of an image and verifies them.
//
// Those that cost least come first. What could not be read or verified comes as an error:
// it may be a valid signature. A caller that stops early saves requests.
func (r *Reader) Signatures(ctx context.Context, repo name.Repository, digest v1.Hash) iter.Seq2[provenance.Signature, error] {
	return func(yield func(provenance.Signature, error) bool) {
		for s, err := range r.from.Signatures(ctx, repo, digest) {
			var out provenance.Signature
			if err == nil {
				out, err = r.trust.VerifyImage(ctx, s, digest)
			}
			if !yield(out, err) {
				return
			}
		}
	}
}

// Signed returns the signers of an image, and why other signatures are not valid.
func (r *Reader) Signed(ctx context.Context, repo name.Repository, digest v1.Hash) (signers []provenance.Identity, invalid []string, err error) {
	var unread []error
	for s, err := range r.Signatures(ctx, repo, digest) {
		switch {
		case err != nil:
			unread = append(unread, err)
		case s.Invalid != "":
			invalid = append(invalid, s.Where+": "+s.Invalid)
		default:
			signers = append(signers, s.By)
		}
	}
	return signers, invalid, errors.Join(unread...)
}

// VerifyImage verifies a signature of the image with a digest.
//
// The error is that the trusted roots could not be loaded.
func (t *Trust) VerifyImage(ctx context.Context, s registry.Signature, digest v1.Hash) (provenance.Signature, error) {
	out := provenance.Signature{Where: s.Where, Bundle: s.Bundle != nil}
	by, err := t.claim(ctx, s, digest)
	if err != nil {
		return out, fmt.Errorf("verifying %s: %w", s.Where, err)
	}
	if by.state != provenance.Verified {
		out.Invalid, out.Claims = by.reason.Error(), by.claims
		return out, nil
	}
	out.By = by.identity
	return out, nil
}

// claim verifies a signature, and that it is one of the image with a digest.
func (t *Trust) claim(ctx context.Context, s registry.Signature, digest v1.Hash) (signedBy, error) {
	if s.Bundle != nil {
		return t.bundledClaim(ctx, s.Bundle, digest)
	}
	b, err := messageBundle(s.Payload, s.Annotations)
	if err != nil {
		return signedBy{state: provenance.Failed, reason: err}, nil
	}
	by, err := t.signer(ctx, message{b, s.Payload})
	if err != nil || by.state != provenance.Verified {
		return by, err
	}
	if err := checkClaim(s.Payload, digest); err != nil {
		return signedBy{state: provenance.Failed, reason: err}, nil
	}
	return by, nil
}

// bundledClaim verifies a bundle. Other statements about an image, such as an SBOM, do not
// sign it.
func (t *Trust) bundledClaim(ctx context.Context, raw []byte, digest v1.Hash) (signedBy, error) {
	b, err := parseBundle(raw)
	if err != nil {
		return signedBy{state: provenance.Failed, reason: err}, nil
	}
	statement, by, err := t.statement(ctx, b, digest)
	if err != nil {
		return signedBy{}, err
	}
	if by.state == provenance.Verified && statement.PredicateType != image.CosignPredicate {
		err := fmt.Errorf("the statement is a %.80q, not a %q", statement.PredicateType, image.CosignPredicate)
		return signedBy{state: provenance.Failed, reason: err}, nil
	}
	return by, nil
}

// checkClaim returns an error unless a simple signing document is about a digest.
func checkClaim(raw []byte, digest v1.Hash) error {
	var claim payload.SimpleContainerImage
	if err := strictjson.Unmarshal(raw, &claim); err != nil {
		return fmt.Errorf("parsing the payload: %w", err)
	}
	if claim.Critical.Type != payload.CosignSignatureType {
		return fmt.Errorf("the payload is of type %.80q, not %q", claim.Critical.Type, payload.CosignSignatureType)
	}
	if got := claim.Critical.Image.DockerManifestDigest; got != digest.String() {
		return fmt.Errorf("the payload is about %.80q", got)
	}
	return nil
}
