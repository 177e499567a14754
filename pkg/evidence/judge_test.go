package evidence_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// builder is the workflow of the identity workflow.
const builder = "https://github.com/orchard/apple/.github/workflows/build.yml"

// policy binds the images below staging in the registry.
func (o *orchard) policy(t *testing.T) *provenance.Policies {
	t.Helper()
	signer, err := provenance.ParseSigner("sigstore::" + workflow.Issuer + "::" + workflow.SAN)
	if err != nil {
		t.Fatal(err)
	}
	source, err := image.ParseRegistry(o.Host + "/staging")
	if err != nil {
		t.Fatal(err)
	}
	return provenance.NewPolicies([]provenance.Bound{{Source: source, Policy: &provenance.Policy{
		Mode: provenance.Require, Signers: []provenance.Signer{signer}, Builders: []provenance.Builder{{ID: builder, Level: 3}},
		Sources: []string{"https://github.com/orchard/apple"},
	}}})
}

// provenanceOf returns provenance that the policy accepts.
func provenanceOf(digests ...string) []byte {
	statement := string(registrytest.Statement(slsa, digests...))
	return []byte(strings.TrimSuffix(strings.TrimSpace(statement), "}") + `,"predicate":{"buildDefinition":{"buildType":"https://example.com/build",` +
		`"externalParameters":{"workflow":{"repository":"https://github.com/orchard/apple","path":".github/workflows/caller.yml","ref":"refs/tags/v1"}},` +
		`"resolvedDependencies":[{"uri":"git+https://github.com/orchard/apple@refs/tags/v1"}]},` +
		`"runDetails":{"builder":{"id":"` + builder + `@refs/tags/v1"},"metadata":{"invocationId":"1"}}}}`)
}

// TestJudge judges an image by what is attached to it, once.
func TestJudge(t *testing.T) {
	t.Parallel()
	o := newOrchardOf(t, registrytest.MultiArch(1, 2, 1))
	arm := o.apple.Children[1]
	o.Push(t, "other/apple", o.apple)
	sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(workflow, provenanceOf(o.apple.Digest)), o.Bundle(account, registrytest.Statement("https://example.com/type", o.apple.Digest)))
	judge := evidence.NewJudge(o.policy(t), o.reader)
	source := image.NewRepository(o.Host, repo)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			v := judge.Image(t.Context(), source, image.Hash(o.apple.Digest))
			if len(v.Judgments) != 1 || len(v.Judgments[0].Result.Violations) != 0 || v.Judgments[0].Result.Level != 3 {
				t.Errorf("got %+v, want one judgment of level 3 without violations", v.Judgments)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, r := range o.Requests() {
		if seen[r.Path]++; seen[r.Path] > 1 {
			t.Errorf("%s %s was requested %d times, want 1", r.Method, r.Path, seen[r.Path])
		}
	}
	o.Reset()
	v := judge.Image(t.Context(), source, image.Hash(arm.Digest))
	if len(v.Judgments) != 1 || len(v.Judgments[0].Result.Violations) == 0 {
		t.Errorf("a platform without attestations: got %+v, want a violation", v.Judgments)
	}
	if n := o.Count(); n != 1 { // its manifest; what is attached to it is known from the index
		t.Errorf("a platform of an index that was read: got %d requests, want 1\n%s", n, o.Summary())
	}
	o.Reset()
	v = judge.Image(t.Context(), image.NewRepository(o.Host, "other/apple"), image.Hash(o.apple.Digest))
	if len(v.Judgments) != 0 || o.Count() != 0 {
		t.Errorf("an image that no policy binds: got %d judgments and %d requests, want none", len(v.Judgments), o.Count())
	}
	e := o.gather(t)
	for _, a := range e.Attestations {
		if isProvenance := a.Statement.PredicateType == slsa; isProvenance != (a.Statement.Predicate != nil) {
			t.Errorf("%s: got predicate %q, want one of provenance alone", a.Statement.PredicateType, a.Statement.Predicate)
		}
	}
}

// TestJudgeUnread does not satisfy a policy by what it could not read, and reads it again
// if only the context of another caller has ended.
func TestJudgeUnread(t *testing.T) {
	t.Parallel()
	o := newOrchard(t)
	sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(workflow, provenanceOf(o.apple.Digest)))
	source, digest := image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest)
	judge := evidence.NewJudge(o.policy(t), o.reader)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if v := judge.Image(ended, source, digest); len(v.Judgments[0].Result.Violations) == 0 {
		t.Errorf("an ended context: got %+v, want a violation", v.Judgments)
	}
	if v := judge.Image(t.Context(), source, digest); len(v.Judgments[0].Result.Violations) != 0 {
		t.Errorf("the next caller: got %+v, want no violation", v.Judgments)
	}
	for _, kind := range []registrytest.Kind{registrytest.Referrers, registrytest.ManifestGet} {
		broken := newOrchard(t)
		sigstoretest.Attach(t, broken.Server, repo, broken.apple, broken.Bundle(workflow, provenanceOf(broken.apple.Digest)))
		broken.Fault(registrytest.Status(http.StatusInternalServerError, nil, "planted"), registrytest.Is(kind))
		v := evidence.NewJudge(broken.policy(t), broken.reader).Image(t.Context(), image.NewRepository(broken.Host, repo), image.Hash(broken.apple.Digest))
		if got := fmt.Sprint(v.Judgments[0].Result.Violations); !strings.Contains(got, "its evidence cannot be read") {
			t.Errorf("%s fails: got violations %s, want one that says so", kind, got)
		}
	}
}
