package sigstoretest

import (
	"encoding/base64"
	"encoding/json"
	"slices"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// Media types and annotations of cosign's tags. registrytest has those of signatures by key.
const (
	envelopeType   = "application/vnd.dsse.envelope.v1+json"
	signatureKey   = "dev.cosignproject.cosign/signature"
	certificateKey = "dev.sigstore.cosign/certificate"
	chainKey       = "dev.sigstore.cosign/chain"
	entryKey       = "dev.sigstore.cosign/bundle"
	timestampKey   = "dev.sigstore.cosign/rfc3161timestamp"
)

// CosignLayer signs a payload like cosign 2, and returns the layer for the tag .sig.
func (s *Sigstore) CosignLayer(id Identity, payload []byte, opts ...Option) registrytest.Blob {
	s.t.Helper()
	o := s.options(opts)
	by := s.signer(id, o)
	sig := by.sign(payload)
	logged, loggedSig := payload, sig
	if o.logged != nil {
		logged, loggedSig = o.logged, by.sign(o.logged)
	}
	annotations := s.annotations(by, sig, func() *protorekor.TransparencyLogEntry {
		return s.entry(messageBody(sha256Of(logged), loggedSig, by.verifier()), o.at, o)
	}, o)
	annotations[signatureKey] = base64.StdEncoding.EncodeToString(sig)
	if o.tampered {
		payload = tamper(payload)
	}
	layer := registrytest.NewBlob(registrytest.SignaturePayload, payload)
	layer.Annotations = annotations
	return layer
}

// AttestationLayer signs a statement like cosign 2, and returns the layer for the tag .att.
func (s *Sigstore) AttestationLayer(id Identity, statement []byte, opts ...Option) registrytest.Blob {
	s.t.Helper()
	o := s.options(opts)
	by := s.signer(id, o)
	e := s.envelope(by, statement, o)
	annotations := s.annotations(by, e.GetSignatures()[0].GetSig(), func() *protorekor.TransparencyLogEntry {
		return s.logEnvelope(by, e, o)
	}, o)
	annotations[signatureKey] = "" // as cosign writes it: the envelope has the signature
	if o.tampered {
		e.Payload = tamper(e.Payload)
	}
	layer := registrytest.NewBlob(envelopeType, s.envelopeJSON(e))
	layer.Annotations = annotations
	return layer
}

// UnsignedLayer returns the layer for the tag .att that holds a statement without a signature.
func UnsignedLayer(statement []byte) registrytest.Blob {
	return registrytest.NewBlob(inTotoType, slices.Clone(statement))
}

// envelopeJSON returns an envelope as cosign writes it.
func (s *Sigstore) envelopeJSON(from *protodsse.Envelope) []byte {
	s.t.Helper()
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}
	e := struct {
		PayloadType string      `json:"payloadType"`
		Payload     []byte      `json:"payload"`
		Signatures  []signature `json:"signatures"`
	}{PayloadType: from.GetPayloadType(), Payload: from.GetPayload()}
	for _, sig := range from.GetSignatures() {
		e.Signatures = append(e.Signatures, signature{Sig: sig.GetSig()})
	}
	raw, err := json.Marshal(e)
	s.check(err)
	return raw
}

// annotations returns what cosign says in a layer about the signer, the log entry and the timestamp.
func (s *Sigstore) annotations(by signer, sig []byte, entry func() *protorekor.TransparencyLogEntry, o *options) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	if by.leaf != nil {
		out[certificateKey] = string(certificatePEM(by.leaf))
		out[chainKey] = string(slices.Concat(certificatePEM(s.ca.intermediate), certificatePEM(s.ca.root)))
	}
	set := func(key string, v any) {
		raw, err := json.Marshal(v)
		s.check(err)
		out[key] = string(raw)
	}
	if !o.noLog {
		e := entry()
		set(entryKey, struct {
			SignedEntryTimestamp []byte
			Payload              signedEntry
		}{e.GetInclusionPromise().GetSignedEntryTimestamp(), signed(e)})
	}
	if !o.noTimestamp {
		set(timestampKey, struct{ SignedRFC3161Timestamp []byte }{s.timestamp(sig, o.at)})
	}
	return out
}
