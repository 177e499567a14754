package attest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// rig writes evidence about images in one repository.
type rig struct {
	t      *testing.T
	server *registrytest.Server
	store  *sigstoretest.Sigstore
	repo   name.Repository
	source name.Repository
	trust  *evidence.Trust
	o      attest.Options // the rest of the options of the writers

	subjects []attest.Subject
}

// public is the production name of the images of a rig.
const public = "registry.example.com/orchard/apple"

// newRig returns a rig whose writers write everything, signed by the owner.
func newRig(t *testing.T, opts ...registrytest.Option) *rig {
	t.Helper()
	r := &rig{t: t, server: registrytest.New(t, opts...), store: sigstoretest.New(t)}
	r.repo, r.source = image.NewRepository(r.server.Host, "prod/apple"), image.NewRepository(r.server.Host, "staging/apple")
	trust, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{r.store.TrustedRoot()}})
	if err != nil {
		t.Fatal(err)
	}
	r.trust = trust
	r.o = attest.Options{
		Records: true, Summaries: true, Signatures: true, Signer: newSigner(t, keyless(r.store, owner)),
		Builder: "https://promoter.example.com@v1", Verifier: attest.Verifier{ID: "https://promoter.example.com/verifier"}, Level: "REVIEWED",
		Origin: attest.Origin{URI: "git+https://git.example.com/manifests", Commit: "3b18"}, Time: when,
	}
	return r
}

// promote pushes an image to source and destination, and makes it a subject.
func (r *rig) promote(o registrytest.Object, tags ...string) {
	r.t.Helper()
	r.server.Push(r.t, "staging/apple", o, tags...)
	r.server.Push(r.t, "prod/apple", o, tags...)
	r.subjects = append(r.subjects, attest.Subject{
		Repository: r.repo, Name: public, Digest: image.Hash(o.Digest), Tags: tags, Attested: true, Carries: true,
		Wants: []attest.Want{{Source: r.source, Images: "images/apple/images.yaml", Policies: "manifests/apple/promoter-manifest.yaml"}},
	})
}

// client returns a new client: nothing that an earlier one has learned is known to it.
func (r *rig) client() *registry.Client {
	r.t.Helper()
	c, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// run plans and writes evidence, and returns the items.
func (r *rig) run(ctx context.Context, change ...func(*attest.Options)) (items []plan.Item, warnings []string) {
	r.t.Helper()
	o := r.o
	o.Client, o.Trust = r.client(), r.trust
	o.Reader = evidence.NewReader(evidence.Direct(o.Client), r.trust)
	for _, f := range change {
		f(&o)
	}
	w := attest.NewWriter(o)
	e := w.Plan(r.t.Context(), r.subjects)
	if !o.DryRun {
		e.Run(ctx, r.subjects, func() {})
	}
	if err := w.Close(); err != nil {
		r.t.Error(err)
	}
	return e.Items(), e.Warnings()
}

// outcomes describes items, sorted: what about which digest, and its status.
func outcomes(items []plan.Item) []string {
	all := []string{}
	for i := range items {
		it := &items[i]
		text := fmt.Sprintf("%s of %.12s %s", it.What, it.Digest.Hex, it.Status)
		if it.Error != "" {
			text += ": " + it.Error
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// statements returns the verified statements of a type about a digest.
func (r *rig) statements(digest, predicateType string) []*provenance.Statement {
	r.t.Helper()
	found, err := evidence.NewReader(evidence.Direct(r.client()), r.trust).Attestations(r.t.Context(), r.repo, image.Hash(digest), predicateType)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []*provenance.Statement
	for _, a := range found {
		if a.State != provenance.Verified || a.Signer.SAN != owner.SAN {
			continue
		}
		all = append(all, a.Statement)
	}
	return all
}

// summary returns the only summary about a digest.
func (r *rig) summary(digest string) vsa {
	r.t.Helper()
	all := r.statements(digest, attest.SummaryType)
	if len(all) != 1 {
		r.t.Fatalf("got %d summaries of %s, want one", len(all), digest)
	}
	var v vsa
	if err := json.Unmarshal(all[0].Predicate, &v); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// judges judges images by fixed results, by digest.
type judges map[string][]provenance.Result

// Image implements attest.Judge.
func (j judges) Image(_ context.Context, source name.Repository, digest v1.Hash) provenance.Verdict {
	v := judged("a", j[digest.String()]...)
	v.Repository = source
	for i := range v.Judgments {
		v.Judgments[i].Policy.File = "manifests/apple/promoter-manifest.yaml"
	}
	return v
}

// short is the part of a digest that outcomes show.
func short(digest string) string { return strings.TrimPrefix(digest, "sha256:")[:12] }
