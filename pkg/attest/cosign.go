package attest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// SignPayload signs a payload as cosign does, and returns the annotations of its layer.
func (s *Signer) SignPayload(ctx context.Context, payload []byte) (map[string]string, error) {
	b, by, err := s.sign(ctx, &sign.PlainData{Data: payload})
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{image.CosignSignatureAnnotation: base64.StdEncoding.EncodeToString(b.GetMessageSignature().GetSignature())}
	if by != nil {
		annotations[image.CosignCertificateAnnotation] = certificatePEM(by.leaf.Raw)
		annotations[image.CosignChainAnnotation] = certificatePEM(by.chain...)
	}
	return annotations, annotate(annotations, b.GetVerificationMaterial())
}

// annotate adds what proves the time of a signature.
func annotate(annotations map[string]string, m *protobundle.VerificationMaterial) error {
	for _, e := range m.GetTlogEntries() {
		raw, err := strictjson.Marshal(newLogEntry(e))
		if err != nil {
			return err
		}
		annotations[image.CosignEntryAnnotation] = string(raw)
	}
	for _, t := range m.GetTimestampVerificationData().GetRfc3161Timestamps() {
		raw, err := strictjson.Marshal(struct {
			Timestamp []byte `json:"SignedRFC3161Timestamp"`
		}{t.GetSignedTimestamp()})
		if err != nil {
			return err
		}
		annotations[image.CosignTimestampAnnotation] = string(raw)
	}
	return nil
}

// logEntry is an entry of the log in an annotation of cosign.
type logEntry struct {
	Promise []byte       `json:"SignedEntryTimestamp"`
	Payload entryPayload `json:"Payload"`
}

// entryPayload is what the log has signed. Body is base64.
type entryPayload struct {
	Body           []byte `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogIndex       int64  `json:"logIndex"`
	LogID          string `json:"logID"`
}

func newLogEntry(e *protorekor.TransparencyLogEntry) logEntry {
	return logEntry{e.GetInclusionPromise().GetSignedEntryTimestamp(), entryPayload{
		e.GetCanonicalizedBody(), e.GetIntegratedTime(), e.GetLogIndex(), hex.EncodeToString(e.GetLogId().GetKeyId()),
	}}
}

// certificatePEM returns certificates (DER) in PEM form.
func certificatePEM(all ...[]byte) string {
	var out []byte
	for _, raw := range all {
		out = slices.Concat(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	return string(out)
}
