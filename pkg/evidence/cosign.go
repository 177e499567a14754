package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// annotatedBundle is the media type of a bundle whose log entries have a promise and no
// proof, which is what cosign's annotations have.
const annotatedBundle = "application/vnd.dev.sigstore.bundle+json;version=0.1"

// envelopeBundle returns the bundle for a layer with an envelope.
func envelopeBundle(raw []byte, annotations map[string]string) (*protobundle.Bundle, error) {
	e := &protodsse.Envelope{}
	// Envelopes may have more keys, which are not signed.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, e); err != nil {
		return nil, fmt.Errorf("parsing the envelope: %w", err)
	}
	if err := strictjson.Check(raw); err != nil {
		return nil, fmt.Errorf("parsing the envelope: %w", err)
	}
	material, err := annotatedMaterial(annotations)
	return &protobundle.Bundle{
		MediaType: annotatedBundle, VerificationMaterial: material, Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: e},
	}, err
}

// annotatedMaterial returns what cosign's annotations say about a signature: the
// certificate, the log entry and the timestamp. Intermediate certificates are those of the
// trusted roots. Without a certificate the signature was made with a key.
func annotatedMaterial(annotations map[string]string) (*protobundle.VerificationMaterial, error) {
	m := &protobundle.VerificationMaterial{}
	text := annotations[image.CosignCertificateAnnotation]
	if text == "" {
		m.Content = &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{}}
		return m, nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("parsing the annotation %s: it is not a certificate in PEM form", image.CosignCertificateAnnotation)
	}
	m.Content = &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: block.Bytes}}
	if text := annotations[image.CosignEntryAnnotation]; text != "" {
		e, err := annotatedEntry([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("parsing the annotation %s: %w", image.CosignEntryAnnotation, err)
		}
		m.TlogEntries = []*protorekor.TransparencyLogEntry{e}
	}
	if text := annotations[image.CosignTimestampAnnotation]; text != "" {
		var stamp CosignTimestamp
		if err := strictjson.Unmarshal([]byte(text), &stamp); err != nil {
			return nil, fmt.Errorf("parsing the annotation %s: %w", image.CosignTimestampAnnotation, err)
		}
		m.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamp.SignedRFC3161Timestamp}},
		}
	}
	return m, nil
}

// CosignEntry is an entry of the log in an annotation of cosign.
type CosignEntry struct {
	SignedEntryTimestamp []byte
	Payload              CosignPayload
}

// CosignPayload is what the log has signed.
type CosignPayload struct {
	Body           []byte `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogIndex       int64  `json:"logIndex"`
	LogID          string `json:"logID"`
}

// CosignTimestamp is a timestamp in an annotation of cosign.
type CosignTimestamp struct{ SignedRFC3161Timestamp []byte }

// annotatedEntry returns the log entry in an annotation.
func annotatedEntry(raw []byte) (*protorekor.TransparencyLogEntry, error) {
	var a CosignEntry
	if err := strictjson.Unmarshal(raw, &a); err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(a.Payload.LogID)
	if err != nil {
		return nil, fmt.Errorf("parsing logID: %w", err)
	}
	var body struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(a.Payload.Body, &body); err != nil {
		return nil, fmt.Errorf("parsing body: %w", err)
	}
	if len(a.SignedEntryTimestamp) == 0 {
		return nil, errors.New("it has no signed time")
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex: a.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id}, IntegratedTime: a.Payload.IntegratedTime,
		KindVersion:       &protorekor.KindVersion{Kind: body.Kind, Version: body.APIVersion},
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: a.SignedEntryTimestamp},
		CanonicalizedBody: a.Payload.Body,
	}, nil
}

// messageBundle returns the bundle for a signature of a payload that the bundle does not hold.
func messageBundle(payload []byte, annotations map[string]string) (*protobundle.Bundle, error) {
	sig, err := base64.StdEncoding.DecodeString(annotations[image.CosignSignatureAnnotation])
	if err != nil {
		return nil, fmt.Errorf("decoding the signature: %w", err)
	}
	material, err := annotatedMaterial(annotations)
	sum := sha256.Sum256(payload)
	return &protobundle.Bundle{
		MediaType: annotatedBundle, VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]}, Signature: sig,
		}},
	}, err
}
