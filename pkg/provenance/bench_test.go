package provenance_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// BenchmarkJudge judges 400 indexes by three policies. Each has four platforms with
// provenance of 8 KiB, an SBOM and two attestations of strangers.
func BenchmarkJudge(b *testing.B) {
	var images []*provenance.Evidence
	for range 400 {
		var platforms [][]provenance.Attestation
		for i := range 4 {
			good := attest(platform(i))
			filler := fmt.Sprintf(`{"internalParameters":{"log":%q},`, strings.Repeat("x", 8<<10))
			good.Statement.Predicate = append([]byte(filler), good.Statement.Predicate[1:]...)
			stranger, failed := good, good
			stranger.Signer.SAN = "stranger@example.com"
			failed.State = provenance.Failed
			platforms = append(platforms, one(stranger, failed, other(platform(i), sbom), good))
		}
		images = append(images, index(b, nil, platforms...))
	}
	policies := []*provenance.Policy{policy(b), policy(b), policy(b)}
	policies[1].Level = 2
	policies[2].PredicateTypes = []string{sbom}
	policies[2].Signers = signers(b, "sigstore(regexp)::https://accounts\\..*::.*@other\\.com", "sigstore(regexp)::https://accounts\\..*::build@example\\.com")
	b.ReportAllocs()
	for b.Loop() {
		for _, e := range images {
			for _, p := range policies {
				if got := provenance.Judge(bound(p), e); len(got.Violations) > 0 || got.Level != 3 {
					b.Fatalf("got level %d, violations %q, want level 3 and none", got.Level, got.Violations)
				}
			}
		}
	}
}
