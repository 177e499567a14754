package attest_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

const sbom = "https://spdx.dev/Document"

// attached pushes a referrer with a bundle to the source, and returns its attestation.
func (r *rig) attached(o registrytest.Object, bundle []byte, predicateType string, about string) *provenance.Attestation {
	r.t.Helper()
	r.server.Push(r.t, "staging/apple", o)
	return &provenance.Attestation{
		State: provenance.Verified, URI: r.source.Digest(o.Digest).String(), Referrer: image.Hash(o.Digest),
		Digest: image.Hash(registrytest.NewBlob(registrytest.SignatureBundle, bundle).Digest),
		Statement: &provenance.Statement{PredicateType: predicateType, Subjects: []provenance.Subject{
			{Digest: map[string]string{"sha256": strings.TrimPrefix(about, "sha256:")}},
		}},
	}
}

func accepting(level int, all ...*provenance.Attestation) provenance.Result {
	return provenance.Result{Level: level, Accepted: all}
}

// Only what has the form that cosign writes is carried along, byte for byte.
func TestCarried(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	other := registrytest.Image(2, 1)
	bundleOf := func(r *rig, predicateType string) []byte {
		return r.store.Bundle(owner, registrytest.Statement(predicateType, img.Digest))
	}
	for name, tc := range map[string]struct {
		predicateType string
		referrer      func(bundle []byte) registrytest.Object
		carried       bool
		warning       string
	}{
		"whole":               {sbom, func(b []byte) registrytest.Object { return sigstoretest.Referrer(img, b) }, true, ""},
		"without annotation":  {sbom, func(b []byte) registrytest.Object { return bare(img, registrytest.SignatureBundle, b) }, true, ""},
		"a promotion record":  {attest.RecordType, func(b []byte) registrytest.Object { return sigstoretest.Referrer(img, b) }, false, ""},
		"a summary":           {attest.SummaryType, func(b []byte) registrytest.Object { return sigstoretest.Referrer(img, b) }, false, ""},
		"other subject":       {sbom, func(b []byte) registrytest.Object { return sigstoretest.Referrer(other, b) }, false, "another subject"},
		"other artifact type": {sbom, func(b []byte) registrytest.Object { return bare(img, "application/x", b) }, false, "artifact type"},
		"other predicate type": {sbom, func(b []byte) registrytest.Object {
			return sigstoretest.Referrer(img, b, registrytest.Annotate("dev.sigstore.bundle.predicateType", "x"))
		}, false, "another predicate type"},
		"other bundle": {sbom, func([]byte) registrytest.Object { return sigstoretest.Referrer(img, []byte("{}")) }, false, "not the bundle that was accepted"},
		"two layers": {sbom, func(b []byte) registrytest.Object {
			return registrytest.Attached([]registrytest.Blob{
				registrytest.NewBlob(registrytest.SignatureBundle, b), registrytest.NewBlob(registrytest.SignatureBundle, []byte("{}")),
			}, registrytest.Subject(img), registrytest.ArtifactType(registrytest.SignatureBundle))
		}, false, "one layer"},
		"config": {sbom, func(b []byte) registrytest.Object {
			o := registrytest.Image(9, 1, registrytest.Subject(img), registrytest.ArtifactType(registrytest.SignatureBundle))
			return o
		}, false, "config is not empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.o.Records, r.o.Summaries, r.o.Signatures = false, false, false
			r.promote(img, "v1")
			bundle := bundleOf(r, tc.predicateType)
			o := tc.referrer(bundle)
			a := r.attached(o, bundle, tc.predicateType, img.Digest)
			r.o.Judge = judges{img.Digest: {accepting(3, a)}}
			items, warnings := r.run(t.Context())
			raw, _, there := r.server.Manifest(t, "prod/apple", o.Digest)
			if there != tc.carried || (len(items) == 1) != tc.carried || there && string(raw) != string(o.Raw) {
				t.Errorf("got %q, carried %t, want %t", outcomes(items), there, tc.carried)
			}
			if got := strings.Join(warnings, " "); (got != "") != (tc.warning != "") || !strings.Contains(got, tc.warning) {
				t.Errorf("got warnings %q, want %q", got, tc.warning)
			}
			if tc.carried {
				if missing := r.server.Complete(t, "prod/apple", o.Digest); missing != nil {
					t.Errorf("got missing content %v, want none", missing)
				}
				r.server.Reset()
				if again, _ := r.run(t.Context()); len(again) > 0 || len(r.server.Writes()) > 0 {
					t.Errorf("got %q from a second run, want nothing", outcomes(again))
				}
			}
		})
	}
}

// bare is a referrer with a bundle and nothing that describes it.
func bare(subject registrytest.Object, artifactType string, bundle []byte) registrytest.Object {
	return registrytest.Attached([]registrytest.Blob{registrytest.NewBlob(registrytest.SignatureBundle, bundle)},
		registrytest.Subject(subject), registrytest.ArtifactType(artifactType))
}

// What is carried along must satisfy every policy, of all sources.
func TestCarriedBySeveralPolicies(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	for name, tc := range map[string]struct {
		results func(a, b *provenance.Attestation) []provenance.Result
		carries bool
		want    int
	}{
		"both accept both": {func(a, b *provenance.Attestation) []provenance.Result {
			return []provenance.Result{accepting(3, a, b), accepting(2, b, a)}
		}, true, 2},
		"one accepts one": {func(a, b *provenance.Attestation) []provenance.Result {
			return []provenance.Result{accepting(3, a, b), accepting(2, b)}
		}, true, 1},
		"one is not satisfied": {func(a, b *provenance.Attestation) []provenance.Result {
			r := bad()
			r.Accepted = []*provenance.Attestation{a, b}
			return []provenance.Result{accepting(3, a, b), r}
		}, true, 0},
		"no policy":                 {func(*provenance.Attestation, *provenance.Attestation) []provenance.Result { return nil }, true, 0},
		"another destination's key": {func(a, b *provenance.Attestation) []provenance.Result { return []provenance.Result{accepting(3, a, b)} }, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.o.Records, r.o.Summaries, r.o.Signatures = false, false, false
			r.promote(img, "v1")
			r.subjects[0].Carries = tc.carries
			var all []*provenance.Attestation
			for _, predicateType := range []string{sbom, "https://openvex.dev/ns"} {
				bundle := r.store.Bundle(owner, registrytest.Statement(predicateType, img.Digest))
				all = append(all, r.attached(sigstoretest.Referrer(img, bundle), bundle, predicateType, img.Digest))
			}
			r.o.Judge = judges{img.Digest: tc.results(all[0], all[1])}
			r.subjects[0].Wants = append(r.subjects[0].Wants, attest.Want{Source: image.NewRepository(r.server.Host, "other/apple"), Policies: "other.yaml"})
			if items, warnings := r.run(t.Context()); len(items) != tc.want || len(warnings) > 0 {
				t.Errorf("got %q, %q, want %d carried", outcomes(items), warnings, tc.want)
			}
		})
	}
}

// An attestation that the repository has, and does not list, as an interrupt between the two
// leaves it, is listed.
func TestCarriedIsListed(t *testing.T) {
	t.Parallel()
	r := newRig(t, registrytest.NoReferrers())
	r.o.Records, r.o.Summaries, r.o.Signatures = false, false, false
	img := registrytest.Image(1, 1)
	r.promote(img, "v1")
	bundle := r.store.Bundle(owner, registrytest.Statement(sbom, img.Digest))
	o := sigstoretest.Referrer(img, bundle)
	r.o.Judge = judges{img.Digest: {accepting(3, r.attached(o, bundle, sbom, img.Digest))}}
	r.server.Push(t, "prod/apple", o)
	for _, want := range []int{1, 0} {
		if items, _ := r.run(t.Context()); len(items) != want || want == 1 && items[0].Status != plan.Done {
			t.Errorf("got %q, want %d done", outcomes(items), want)
		}
		if n := len(r.statements(img.Digest, sbom)); n != 1 {
			t.Errorf("got %d attestations in the list, want one", n)
		}
	}
}
