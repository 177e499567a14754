package evidence_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// BenchmarkVerifyAndJudge verifies the bundles of 400 indexes, which have been read, and
// judges each index by three policies. An index has provenance, an SBOM and two
// platforms with provenance: 1,600 bundles. Two at a time are verified.
func BenchmarkVerifyAndJudge(b *testing.B) {
	s := sigstoretest.New(b)
	trust, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{s.TrustedRoot()}})
	if err != nil {
		b.Fatal(err)
	}
	const sbom = "https://spdx.dev/Document"
	repo := image.NewRepository("registry.example", "orchard/apple")
	var images [][3][][]byte // bundles of an index and its platforms
	digest := func(i, platform int) string { return fmt.Sprintf("sha256:%064x", 3*i+platform) }
	for i := range 400 {
		var bundles [3][][]byte
		for platform := range bundles {
			bundles[platform] = append(bundles[platform], s.Bundle(workflow, provenanceOf(digest(i, platform))))
		}
		bundles[0] = append(bundles[0], s.Bundle(workflow, registrytest.Statement(sbom, digest(i, 0))))
		images = append(images, bundles)
	}
	policies := threePolicies(b, sbom)
	evidenceOf := func(i, platform int) provenance.Evidence {
		e := provenance.Evidence{Repository: repo, Digest: image.Hash(digest(i, platform)), Index: platform == 0}
		for _, raw := range images[i][platform] {
			a := verified(b, trust, raw, e.Digest)
			a.URI = repo.Digest(e.Digest.String()).String()
			e.Attestations = append(e.Attestations, a)
		}
		return e
	}
	for b.Loop() {
		var g errgroup.Group
		g.SetLimit(2)
		for i := range images {
			g.Go(func() error {
				e := evidenceOf(i, 0)
				e.Platforms = []provenance.Evidence{evidenceOf(i, 1), evidenceOf(i, 2)}
				for _, p := range policies {
					if got := provenance.Judge(p, &e); len(got.Violations) > 0 || got.Level != 3 {
						return fmt.Errorf("got level %d, violations %q, want level 3 and none", got.Level, got.Violations)
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// threePolicies returns policies that differ in what they demand.
func threePolicies(b *testing.B, predicateType string) []provenance.Bound {
	b.Helper()
	var all []provenance.Bound
	for i, spec := range []string{
		"sigstore::" + workflow.Issuer + "::" + workflow.SAN,
		"sigstore(identityMatch=glob)::" + workflow.Issuer + "::https://github.com/orchard/*/.github/workflows/*.yml@refs/tags/v*",
		"sigstore(regexp)::https://token\\..*::https://github\\.com/orchard/(apple|pear)/.*",
	} {
		signer, err := provenance.ParseSigner(spec)
		if err != nil {
			b.Fatal(err)
		}
		p := &provenance.Policy{
			Mode: provenance.Require, Signers: []provenance.Signer{signer}, Sources: []string{"github.com/orchard/pear", "https://github.com/orchard/apple"},
			Builders: []provenance.Builder{{ID: builder, Level: 3}}, Level: i,
		}
		if p.Level == 1 {
			p.Level, p.PredicateTypes = 3, []string{predicateType}
		}
		all = append(all, provenance.Bound{Policy: p})
	}
	return all
}
