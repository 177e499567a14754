package check

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// Attached is a signature that belongs to an image, in one of cosign's two forms.
type Attached struct {
	Where     string // its reference
	Payload   []byte // what is signed, a simple signing document
	Signature string // of Payload, in base64
	Bundle    []byte // in place of the two: a sigstore bundle, JSON
}

// Signatures reads signatures.
type Signatures interface {
	// Signatures returns the signatures that a repository holds of a digest, those
	// that cost least first. What cannot be read comes as an error.
	Signatures(ctx context.Context, repo name.Repository, digest v1.Hash) iter.Seq2[Attached, error]
}

// Signature finds images that nobody has signed with a key.
type Signature struct {
	verifiers []signature.Verifier
	read      Signatures
}

// NewSignature returns the rule for a public key in PEM form: ECDSA, RSA or Ed25519.
func NewSignature(pem []byte, read Signatures) (*Signature, error) {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	switch {
	case err != nil && bytes.Contains(pem, []byte("PRIVATE KEY-----")):
		return nil, errors.New("parsing the public key: it is a private key: cosign public-key prints its public key")
	case err != nil:
		return nil, errors.New("parsing the public key: it is not a public key in PEM form, such as cosign.pub")
	}
	// Cosign signs with SHA-256 by default, whatever the key, or with the hash that fits the key.
	plain, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("parsing the public key: %w", err)
	}
	fitting, err := signature.LoadDefaultVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("parsing the public key: %w", err)
	}
	return &Signature{[]signature.Verifier{plain, fitting}, read}, nil
}

// Name implements Rule.
func (*Signature) Name() string { return "signature" }

// About implements Rule.
func (*Signature) About() string {
	return "an image about to be promoted has no valid signature"
}

// Reach implements Rule.
func (*Signature) Reach() Reach { return Registries }

// Check implements Rule.
func (s *Signature) Check(ctx context.Context, in *Input) []Finding {
	return each(ctx, in.Images, s.judge)
}

// judge looks for one signature that verifies.
func (s *Signature) judge(ctx context.Context, im Image) []Finding {
	var unread, wrong []string
	var causes []error
	for _, repo := range append([]name.Repository{im.From}, im.Also...) {
		for a, err := range s.read.Signatures(ctx, repo, im.Digest) {
			if err != nil {
				unread, causes = append(unread, fmt.Sprintf("reading signatures in %s: %v", repo, err)), append(causes, err)
				continue
			}
			if err := s.verify(a, im.Digest); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v", a.Where, err))
				continue
			}
			return nil
		}
	}
	ref := im.Source.Digest(im.Digest.String()).String() // what has to be signed
	switch {
	case unread != nil:
		return []Finding{im.unread(ref+": "+strings.Join(unread, "; "), causes...)}
	case wrong != nil:
		return []Finding{im.finding(Error, ref+" carries no signature that verifies: "+strings.Join(wrong, "; "))}
	}
	return []Finding{im.finding(Error, ref+" carries no signature")}
}

// verify returns an error unless a signature is one of the key, and claims the digest.
func (s *Signature) verify(a Attached, digest v1.Hash) error {
	if a.Bundle != nil {
		return s.verifyBundle(a.Bundle, digest)
	}
	sig, err := base64.StdEncoding.DecodeString(a.Signature)
	if err != nil {
		return fmt.Errorf("decoding the signature: %w", err)
	}
	err = s.any(func(v signature.Verifier) error {
		return v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(a.Payload))
	})
	if err != nil {
		return err
	}
	var claim payload.SimpleContainerImage
	if err := strictjson.Unmarshal(a.Payload, &claim); err != nil {
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

// any tries the verifiers of the key.
func (s *Signature) any(try func(signature.Verifier) error) error {
	for _, v := range s.verifiers {
		if try(v) == nil {
			return nil
		}
	}
	return errors.New("it was not made with the key")
}

// What a bundle that signs an image holds: other statements about it, such as an
// SBOM, are not its signature.
const (
	digestAlgorithm = "sha256"
)

// statement has the keys of an in-toto statement that name its subject and type.
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
}

func (s *Signature) verifyBundle(raw []byte, digest v1.Hash) error {
	var bundle struct {
		Envelope json.RawMessage `json:"dsseEnvelope"`
	}
	if err := strictjson.Unmarshal(raw, &bundle); err != nil {
		return fmt.Errorf("parsing the bundle: %w", err)
	}
	if bundle.Envelope == nil {
		return errors.New("the bundle holds no DSSE envelope")
	}
	err := s.any(func(v signature.Verifier) error {
		return dsse.WrapVerifier(v).VerifySignature(bytes.NewReader(bundle.Envelope), nil)
	})
	if err != nil {
		return err
	}
	var envelope struct {
		PayloadType string `json:"payloadType"`
		Payload     []byte `json:"payload"`
	}
	if err := json.Unmarshal(bundle.Envelope, &envelope); err != nil {
		return fmt.Errorf("parsing the envelope: %w", err)
	}
	if envelope.PayloadType != image.InTotoStatement {
		return fmt.Errorf("the envelope holds %.80q, not %q", envelope.PayloadType, image.InTotoStatement)
	}
	var claim statement
	if err := strictjson.Unmarshal(envelope.Payload, &claim); err != nil {
		return fmt.Errorf("parsing the statement: %w", err)
	}
	if claim.PredicateType != image.CosignPredicate {
		return fmt.Errorf("the statement is a %.80q, not a %q", claim.PredicateType, image.CosignPredicate)
	}
	for _, subject := range claim.Subject {
		if subject.Digest[digestAlgorithm] == digest.Hex {
			return nil
		}
	}
	return errors.New("the statement is about other digests")
}
