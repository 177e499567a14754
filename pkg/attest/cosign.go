package attest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
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
		raw, err := strictjson.Marshal(evidence.CosignEntry{
			SignedEntryTimestamp: e.GetInclusionPromise().GetSignedEntryTimestamp(),
			Payload: evidence.CosignPayload{
				Body: e.GetCanonicalizedBody(), IntegratedTime: e.GetIntegratedTime(), LogIndex: e.GetLogIndex(), LogID: hex.EncodeToString(e.GetLogId().GetKeyId()),
			},
		})
		if err != nil {
			return err
		}
		annotations[image.CosignEntryAnnotation] = string(raw)
	}
	for _, t := range m.GetTimestampVerificationData().GetRfc3161Timestamps() {
		raw, err := strictjson.Marshal(evidence.CosignTimestamp{SignedRFC3161Timestamp: t.GetSignedTimestamp()})
		if err != nil {
			return err
		}
		annotations[image.CosignTimestampAnnotation] = string(raw)
	}
	return nil
}

// certificatePEM returns certificates (DER) in PEM form.
func certificatePEM(all ...[]byte) string {
	var out []byte
	for _, raw := range all {
		out = slices.Concat(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	return string(out)
}
