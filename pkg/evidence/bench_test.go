package evidence_test

import (
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// BenchmarkVerify measures verifying a bundle by the second of two roots.
func BenchmarkVerify(b *testing.B) {
	s := sigstoretest.New(b)
	tr, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{sigstoretest.New(b).TrustedRoot(), s.TrustedRoot()}})
	if err != nil {
		b.Fatal(err)
	}
	raw := s.Bundle(workflow, registrytest.Statement(slsa, digestA))
	for b.Loop() {
		if got := tr.Verify(b.Context(), raw, image.Hash(digestA)); got.State != provenance.Verified {
			b.Fatalf("got state %d (%s), want %d", got.State, got.Reason, provenance.Verified)
		}
	}
}
