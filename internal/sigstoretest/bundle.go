package sigstoretest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// Bundle signs a statement, and returns the bundle (version 0.3, JSON).
//
// It has a certificate with an SCT, an entry of the transparency log with proof and
// promise, and a timestamp.
func (s *Sigstore) Bundle(id Identity, statement []byte, opts ...Option) []byte {
	s.t.Helper()
	o := s.options(opts)
	by := s.signer(id, o)
	envelope := s.envelope(by, statement, o)
	b := &protobundle.Bundle{
		MediaType:            registrytest.SignatureBundle,
		VerificationMaterial: by.material(),
		Content:              &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope},
	}
	if !o.noLog {
		b.VerificationMaterial.TlogEntries = []*protorekor.TransparencyLogEntry{s.logEnvelope(by, envelope, o)}
	}
	if !o.noTimestamp {
		b.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: s.timestamp(envelope.GetSignatures()[0].GetSig(), o.at)}},
		}
	}
	if o.tampered {
		envelope.Payload = tamper(envelope.Payload)
	}
	raw, err := protojson.Marshal(b)
	s.check(err)
	return raw
}

// tamper returns a document with one more space, which means the same.
func tamper(raw []byte) []byte { return append(slices.Clone(raw), ' ') }

// signer signs with the key of a certificate, or with a key that the reader knows.
type signer struct {
	leaf *x509.Certificate // nil: a key
	key  *registrytest.Key
	sign func(message []byte) []byte
}

func (s *Sigstore) signer(id Identity, o *options) signer {
	s.t.Helper()
	if o.key != nil {
		return signer{key: o.key, sign: o.key.Sign}
	}
	key := s.newKey()
	return signer{leaf: s.certificate(key.Public(), id, o.from, !o.noSCT), sign: func(message []byte) []byte {
		sum := sha256.Sum256(message)
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		s.check(err)
		return sig
	}}
}

// material returns what a bundle says about its signer.
func (by signer) material() *protobundle.VerificationMaterial {
	if by.leaf == nil {
		return &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: "key"}},
		}
	}
	return &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: by.leaf.Raw}},
	}
}

// verifier returns the certificate or public key (PEM), as a log entry has it.
func (by signer) verifier() []byte {
	if by.leaf == nil {
		return by.key.Public()
	}
	return certificatePEM(by.leaf)
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// envelope signs a payload.
func (s *Sigstore) envelope(by signer, payload []byte, o *options) *protodsse.Envelope {
	s.t.Helper()
	e := &protodsse.Envelope{Payload: payload, PayloadType: o.payloadType}
	for range o.signatures {
		e.Signatures = append(e.Signatures, &protodsse.Signature{Sig: by.sign(dsse.PAE(o.payloadType, payload))})
	}
	return e
}

// logEnvelope returns the log entry for an envelope, or for another one if the options want that.
func (s *Sigstore) logEnvelope(by signer, e *protodsse.Envelope, o *options) *protorekor.TransparencyLogEntry {
	s.t.Helper()
	if o.logged != nil {
		e = s.envelope(by, o.logged, o)
	}
	raw, err := json.Marshal(e)
	s.check(err)
	return s.entry(envelopeBody(raw, e.GetPayload(), e.GetSignatures()[0].GetSig(), by.verifier()), o.at, o)
}

// entry adds an entry to the log.
func (s *Sigstore) entry(b body, at time.Time, o *options) *protorekor.TransparencyLogEntry {
	s.t.Helper()
	e, err := s.log.add(s.t.Context(), b, at)
	s.check(err)
	if o.noPromise {
		e.InclusionPromise = nil
	}
	return e
}
