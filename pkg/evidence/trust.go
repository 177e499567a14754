package evidence

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// MaxBundle is the maximum size of a bundle, in bytes. SBOMs of large images have a few MiB.
const MaxBundle = 64 << 20

// TrustOptions configures a Trust.
type TrustOptions struct {
	// Roots are contents of trusted_root.json. Each may have several documents, one after the other.
	Roots [][]byte
	// Keys are public keys, PEM.
	Keys [][]byte
	// Public returns trusted_root.json if a certificate has to be verified and there are
	// no Roots. nil: no certificate is trusted. See PublicRoot.
	Public func(ctx context.Context) ([]byte, error)
}

// Trust verifies signatures by trusted roots and public keys.
//
// A root with transparency logs accepts a certificate with an SCT, an entry of a log and
// an observed time. A root without logs accepts one with a signed timestamp. One root that
// accepts a signature is enough. Keys need no log and no time.
//
// It is safe for concurrent use.
type Trust struct {
	roots  []trustedRoot
	keys   []key
	public func(ctx context.Context) ([]byte, error)
	loaded memo.Map[struct{}, []trustedRoot]
}

// NewTrust returns a Trust. It sends no request.
func NewTrust(o TrustOptions) (*Trust, error) {
	t := &Trust{public: o.Public}
	for _, raw := range o.Roots {
		roots, err := parseRoots(raw)
		if err != nil {
			return nil, fmt.Errorf("parsing the trusted root: %w", err)
		}
		t.roots = append(t.roots, roots...)
	}
	for _, pem := range o.Keys {
		k, err := parseKey(pem)
		if err != nil {
			return nil, fmt.Errorf("parsing the public key: %w", err)
		}
		t.keys = append(t.keys, k)
	}
	return t, nil
}

// trusted returns the roots. It loads sigstore's public root, once, if there is no other.
func (t *Trust) trusted(ctx context.Context) ([]trustedRoot, error) {
	if len(t.roots) > 0 || t.public == nil {
		return t.roots, nil
	}
	return t.loaded.Do(ctx, struct{}{}, func() ([]trustedRoot, error) {
		raw, err := t.public(ctx)
		if err != nil {
			return nil, err
		}
		roots, err := parseRoots(raw)
		if err != nil {
			err = fmt.Errorf("parsing sigstore's public root: %w", err)
		}
		return roots, err
	})
}

// Verify verifies a bundle (JSON) that is attached to a digest.
//
// The statement must have the digest as a subject, and the envelope exactly one signature.
// The result has no URI, Digest and Referrer. The error is that the bundle is not an
// attestation, or about the trusted roots.
func (t *Trust) Verify(ctx context.Context, bundle []byte, digest v1.Hash) (provenance.Attestation, error) {
	b, err := parseBundle(bundle)
	switch {
	case errors.Is(err, errNoEnvelope):
		return provenance.Attestation{}, err
	case err != nil:
		return provenance.Attestation{State: provenance.Failed, Reason: err.Error()}, nil
	}
	return t.attestation(ctx, b, digest)
}

// errNoEnvelope is the error for a bundle with another signature, which is not an attestation.
var errNoEnvelope = errors.New("the bundle has no DSSE envelope")

// parseBundle parses a bundle with an envelope.
func parseBundle(raw []byte) (*protobundle.Bundle, error) {
	if len(raw) > MaxBundle {
		return nil, fmt.Errorf("the bundle has %d bytes: more than %d are refused", len(raw), MaxBundle)
	}
	b := &protobundle.Bundle{}
	if err := protojson.Unmarshal(raw, b); err != nil {
		return nil, fmt.Errorf("parsing the bundle: %w", err)
	}
	if err := strictjson.Check(raw); err != nil {
		return nil, fmt.Errorf("parsing the bundle: %w", err)
	}
	if b.GetDsseEnvelope() == nil {
		return nil, errNoEnvelope
	}
	return b, nil
}

// attestation verifies a bundle with an envelope. The error is about the trusted roots.
func (t *Trust) attestation(ctx context.Context, b *protobundle.Bundle, digest v1.Hash) (provenance.Attestation, error) {
	statement, by, err := t.statement(ctx, b, digest)
	a := provenance.Attestation{Statement: statement, State: by.state, Signer: by.identity}
	if by.reason != nil {
		a.Reason = by.reason.Error()
	}
	return a, err
}

// statement verifies a bundle with an envelope. The result is nil if its statement cannot
// be parsed. The error is about the trusted roots.
func (t *Trust) statement(ctx context.Context, b *protobundle.Bundle, digest v1.Hash) (*provenance.Statement, signedBy, error) {
	e := b.GetDsseEnvelope()
	if e.GetPayloadType() != image.InTotoStatement {
		err := fmt.Errorf("the envelope has the type %.80q, want %q", e.GetPayloadType(), image.InTotoStatement)
		return nil, signedBy{state: provenance.Failed, reason: err}, nil
	}
	statement, err := provenance.ParseStatement(e.GetPayload())
	if err != nil {
		return nil, signedBy{state: provenance.Failed, reason: fmt.Errorf("parsing the statement: %w", err)}, nil
	}
	switch n := len(e.GetSignatures()); {
	case n == 0:
		return statement, signedBy{state: provenance.Unsigned, reason: errors.New("the envelope has no signature")}, nil
	case n > 1:
		err := fmt.Errorf("the envelope has %d signatures, want one", n)
		return statement, signedBy{state: provenance.Failed, reason: err}, nil
	}
	by, err := t.signer(ctx, envelope{b})
	if err == nil && by.state == provenance.Verified && !statement.Names(digest) {
		by = signedBy{state: provenance.Failed, reason: errors.New("the statement is about other digests"), claims: by.identity}
	}
	return statement, by, err
}
