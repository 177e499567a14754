package promote_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// proven are digests with provenance, in any repository.
type proven []string

func (p proven) Gather(_ context.Context, repo name.Repository, digest v1.Hash) *provenance.Evidence {
	e := &provenance.Evidence{Repository: repo, Digest: digest}
	if slices.Contains(p, digest.String()) {
		e.Attestations = []provenance.Attestation{{
			URI: repo.Digest(digest.String()).String(), State: provenance.Verified, Signer: provenance.Identity{SAN: "me", Issuer: "i"},
			Statement: &provenance.Statement{
				Type: provenance.StatementV1, PredicateType: provenance.ProvenanceV1,
				Subjects: []provenance.Subject{{Digest: map[string]string{"sha256": digest.Hex}}},
				Predicate: []byte(`{"buildDefinition":{"externalParameters":{},"resolvedDependencies":[{"uri":"git+https://x.example/app"}]},` +
					`"runDetails":{"builder":{"id":"b"},"metadata":{"invocationId":"7"}}}`),
			},
		}}
	}
	return e
}

// policy is the policy that proven images satisfy.
func policy(mode string) string {
	return "provenance: {mode: " + mode + ", signers: [\"sigstore::i::me\"], builders: [{id: b, level: 3}], sources: [https://x.example/app]}\n"
}

// Two images, of which only one has provenance, and a signature of the other.
func TestPolicies(t *testing.T) {
	t.Parallel()
	good, bad := registrytest.Image(1, 1), registrytest.Image(2, 1)
	signature := registrytest.Artifact(3, "application/vnd.example.signature", registrytest.Subject(bad))
	const refused = "copy planned prod/a good 1\ncopy refused prod/a bad 2\ncopy refused prod/a signature \n"
	const skipped = "copy skipped prod/a good 1\ncopy refused prod/a bad 2\ncopy refused prod/a signature \n"
	all := strings.ReplaceAll(refused, "refused", "planned")
	done := func(text string) string { return strings.ReplaceAll(text, "planned", "done") }
	for _, test := range []struct {
		mode              string
		dry, fast, nobody bool // nobody: nothing is trusted
		want              string
		warnings          int
	}{
		{mode: "off", want: done(all)},
		{mode: "warn", want: done(all), warnings: 1},
		{mode: "warn", dry: true, want: all, warnings: 1},
		{mode: "warn", fast: true, want: done(all), warnings: 1},
		{mode: "require", want: done(refused)},
		{mode: "require", dry: true, want: refused},
		{mode: "require", dry: true, fast: true, want: refused},
		{mode: "require", fast: true, want: skipped},
		{mode: "require", nobody: true, want: strings.ReplaceAll(all, "planned", "refused")},
		{mode: "warn", nobody: true, want: done(all), warnings: 2},
	} {
		t.Run(fmt.Sprintf("%s, dry %v, fail-fast %v, nobody trusted %v", test.mode, test.dry, test.fast, test.nobody), func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			src.Push(t, "staging/a", good, "x")
			src.Push(t, "staging/a", bad, "y")
			src.Push(t, "staging/a", signature)
			text := plain(want("a", good.Digest, "'1'", bad.Digest, "'2'"), src.Host+"/staging", dst.Host+"/prod") + policy(test.mode)
			r := rig{manifest: text, dryRun: test.dry, referrers: true, change: func(j *promote.Job) {
				j.FailFast = test.fast
				if !test.nobody {
					j.Evidence = proven{good.Digest}
				}
			}}
			p := r.run(t)
			got := lines(p, map[string]string{good.Digest: "good", bad.Digest: "bad", signature.Digest: "signature"})
			if diff := cmp.Diff(sortLines(test.want), sortLines(got)); diff != "" {
				t.Errorf("got other items (-want +got):\n%s", diff)
			}
			if len(p.Warnings) != test.warnings {
				t.Errorf("got warnings %q, want %d", p.Warnings, test.warnings)
			}
			for _, text := range append(errorsOf(p), p.Warnings...) {
				if !strings.Contains(text, " does not satisfy the policy at m.yaml:10:1: ") && !strings.HasPrefix(text, "not tried") {
					t.Errorf("got %q, want it to name the policy at m.yaml:10:1", text)
				}
			}
			wantTags := map[string]string{}
			for line := range strings.Lines(test.want) {
				if strings.HasPrefix(line, "copy done prod/a good") {
					wantTags["1"] = good.Digest
				}
				if strings.HasPrefix(line, "copy done prod/a bad") {
					wantTags["2"] = bad.Digest
				}
			}
			if got := dst.Tags(t, "prod/a"); !maps.Equal(got, wantTags) {
				t.Errorf("got tags %v, want %v", got, wantTags)
			}
		})
	}
}

func sortLines(text string) []string { return slices.Sorted(strings.Lines(text)) }

// errorsOf returns the errors of the items of a plan.
func errorsOf(p *plan.Plan) []string {
	var all []string
	for _, it := range p.Items {
		if it.Error != "" {
			all = append(all, it.Error)
		}
	}
	return all
}

// An image is bound by the policy of its source, whichever file lists it, whether the digest
// is in the destination already, and in a native file too.
func TestPoliciesBindEverywhere(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img, base := registrytest.Image(1, 1), registrytest.Image(2, 1)
	src.Push(t, "staging/team/a", img, "x")
	dst.Push(t, "there/a", img, "old")
	dst.Push(t, "there/a", base, "base")
	owner := plain("", src.Host+"/staging", dst.Host+"/owner") + policy("require")
	nested := func(dst string) string { return plain(want("a", img.Digest, "'1'"), src.Host+"/staging/team", dst) }
	for name, r := range map[string]rig{
		"another file":   {plains: []string{nested(dst.Host + "/prod")}},
		"the digest":     {plains: []string{nested(dst.Host + "/there")}},
		"a mirror":       {plains: []string{strings.Replace(nested(dst.Host+"/prod"), "  src: true\n", "  src: true\n  mirrors: ["+dst.Host+"/there]\n", 1)}},
		"a native file":  {plains: []string{"images: [{name: " + src.Host + "/staging/team/a, src_build_tag: x, tag: y}]\n"}},
		"a retag entry":  {plains: []string{plain("- {name: a, retag: [{src_build_tag: x, tag: y}]}\n", src.Host+"/staging/team", dst.Host+"/prod")}},
		"a shard":        {plains: []string{nested(dst.Host + "/prod")}, shard: plan.Shard{Index: 0, Count: 1}},
		"deep":           {plains: []string{nested(dst.Host + "/prod")}, deep: true},
		"a changed part": {plains: []string{nested(dst.Host + "/prod")}, change: func(j *promote.Job) { j.Selection.Base = rig{manifest: owner}.set() }},
		"other rules":    {plains: []string{nested(dst.Host + "/prod")}, change: func(j *promote.Job) { j.Rules = []check.Rule{check.Valid{}} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.manifest = owner
			p := r.run(t)
			for at, tags := range map[string]map[string]string{
				"prod/a": dst.Tags(t, "prod/a"), "there/a": dst.Tags(t, "there/a"), "staging/team/a": src.Tags(t, "staging/team/a"),
			} {
				if tags["1"] != "" || tags["y"] != "" {
					t.Errorf("%s: got tags %v, want neither 1 nor y", at, tags)
				}
			}
			if len(p.Items) == 0 {
				t.Fatal("got no items, want some")
			}
			for _, it := range p.Items {
				if it.Status != plan.Refused || !strings.Contains(it.Error, "/staging/team/a@"+img.Digest+" does not satisfy the policy at m.yaml:6:1") {
					t.Errorf("got %s %s %s: %s, want it refused by the policy at m.yaml:6:1", it.Status, it.Destination, it.Tag, it.Error)
				}
			}
		})
	}
}

// A plan that rules have not judged is not carried out.
func TestUnjudgedPlan(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img := registrytest.Image(1, 1)
	src.Push(t, "staging/a", img, "x")
	text := plain(want("a", img.Digest, "'1'"), src.Host+"/staging", dst.Host+"/prod") + policy("require")
	p := rig{manifest: text, change: func(j *promote.Job) { j.Unjudged = true }}.run(t)
	if len(p.Items) != 1 || p.Items[0].Status != plan.Skipped || len(dst.Tags(t, "prod/a")) > 0 {
		t.Errorf("got items %+v and tags %v, want one that is skipped, and no tag", p.Items, dst.Tags(t, "prod/a"))
	}
}
