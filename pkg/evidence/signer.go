package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// signed is something with one signature.
type signed interface {
	bundle() *protobundle.Bundle
	signature() []byte
	message() []byte // the signed bytes
	artifact() verify.ArtifactPolicyOption
}

// envelope is a bundle with a DSSE envelope.
type envelope struct{ b *protobundle.Bundle }

func (e envelope) bundle() *protobundle.Bundle { return e.b }
func (e envelope) signature() []byte           { return e.b.GetDsseEnvelope().GetSignatures()[0].GetSig() }
func (e envelope) message() []byte {
	return []byte(dsse.PAE(e.b.GetDsseEnvelope().GetPayloadType(), e.b.GetDsseEnvelope().GetPayload()))
}

// artifact implements signed. The subjects of the statement are compared by the caller,
// which has parsed it strictly.
func (envelope) artifact() verify.ArtifactPolicyOption { return verify.WithoutArtifactUnsafe() }

// message is a bundle with the signature of a payload, which it does not hold.
type message struct {
	b       *protobundle.Bundle
	payload []byte
}

func (m message) bundle() *protobundle.Bundle { return m.b }
func (m message) signature() []byte           { return m.b.GetMessageSignature().GetSignature() }
func (m message) message() []byte             { return m.payload }
func (m message) artifact() verify.ArtifactPolicyOption {
	return verify.WithArtifact(bytes.NewReader(m.payload))
}

// Why a signature is Unverifiable.
var (
	errKey    = errors.New("it was not made with the key")
	errNoKey  = errors.New("it was made with a key, and no public key is trusted")
	errNoRoot = errors.New("it was made with a certificate, and no root is trusted")
	errIssuer = errors.New("no trusted root has issued its certificate")
)

// signedBy is the result of verifying a signature.
type signedBy struct {
	state    provenance.State
	reason   error // nil: Verified
	identity provenance.Identity
	claims   provenance.Identity // that the certificate names, if the signature is not valid
}

// signer verifies a signature. The error is about the trusted roots.
func (t *Trust) signer(ctx context.Context, s signed) (signedBy, error) {
	for _, k := range t.keys {
		if k.signed(s.signature(), s.message()) {
			return signedBy{state: provenance.Verified, identity: provenance.Identity{Key: k.id}}, nil
		}
	}
	if s.bundle().GetVerificationMaterial().GetPublicKey() != nil {
		if len(t.keys) == 0 {
			return signedBy{state: provenance.Unverifiable, reason: errNoKey}, nil
		}
		return signedBy{state: provenance.Unverifiable, reason: errKey}, nil
	}
	entity, err := newEntity(s.bundle())
	if err != nil {
		return signedBy{state: provenance.Failed, reason: err}, nil
	}
	roots, err := t.trusted(ctx)
	if err != nil {
		return signedBy{}, err
	}
	return byCertificate(entity, s, roots), nil
}

// byCertificate verifies a signature with a certificate, by the first root that accepts it.
func byCertificate(entity *bundle.Bundle, s signed, roots []trustedRoot) signedBy {
	if len(roots) == 0 {
		return signedBy{state: provenance.Unverifiable, reason: errNoRoot}
	}
	var reasons []string
	for _, r := range roots {
		summary, err := r.accept(entity, s.artifact())
		if err == nil {
			return signedBy{state: provenance.Verified, identity: IdentityOf(summary)}
		}
		if reason := err.Error(); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	if !slices.ContainsFunc(roots, func(r trustedRoot) bool { return r.issued(entity) }) {
		return signedBy{state: provenance.Unverifiable, reason: errIssuer, claims: claimed(entity)}
	}
	return signedBy{state: provenance.Failed, reason: errors.New(strings.Join(reasons, "; ")), claims: claimed(entity)}
}

// IdentityOf returns the identity in a certificate.
func IdentityOf(c *certificate.Summary) provenance.Identity {
	return provenance.Identity{
		SAN: c.SubjectAlternativeName, Issuer: c.Issuer, SourceRepository: c.SourceRepositoryURI, BuildConfig: c.BuildConfigURI,
	}
}

// claimed returns the identity in the certificate of a signature, which proves nothing. It
// is zero if there is none.
func claimed(entity *bundle.Bundle) (id provenance.Identity) {
	var err error
	defer recovered(&err)
	content, err := entity.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return id
	}
	summary, err := certificate.SummarizeCertificate(content.Certificate())
	if err != nil {
		return id
	}
	return IdentityOf(&summary)
}

// recovered turns a panic into an error.
//
// Parsers of certificates, log entries and timestamps get bytes of strangers. If one of
// them panics, the signature is not valid, and the other images are still judged.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("verifying it failed: %v", p)
	}
}

// newEntity parses the material of a bundle.
func newEntity(b *protobundle.Bundle) (entity *bundle.Bundle, err error) {
	defer recovered(&err)
	return bundle.NewBundle(b)
}

// accept verifies a signature. It returns what the certificate says.
func (r trustedRoot) accept(entity *bundle.Bundle, artifact verify.ArtifactPolicyOption) (summary *certificate.Summary, err error) {
	defer recovered(&err)
	result, err := r.Verify(entity, verify.NewPolicy(artifact, verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return nil, err
	}
	if result.Signature == nil || result.Signature.Certificate == nil {
		return nil, errors.New("it has no certificate")
	}
	return result.Signature.Certificate, nil
}

// issued reports whether an authority of the root has issued the certificate of a signature.
func (r trustedRoot) issued(entity *bundle.Bundle) bool {
	content, err := entity.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return false
	}
	leaf := content.Certificate()
	leaf.UnhandledCriticalExtensions = nil
	_, err = verify.VerifyLeafCertificate(leaf.NotBefore, leaf, r.material)
	return err == nil
}
