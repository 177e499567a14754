package verify

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const policyText = `provenance:
  mode: require
  signers: ["sigstore::https://accounts.example.com::builder@example.com"]
  builders: [{id: "https://builder.example/b", level: 3}]
  sources: ["https://github.com/example/apple"]
`

// world is a registry with a promoted image, a git repository with its manifests, and a
// sigstore.
type world struct {
	*registrytest.Server
	t        *testing.T
	sigstore *sigstoretest.Sigstore
	apple    registrytest.Object
	dir      string // of the git repository
	commit   string // that wants the image
	client   *registry.Client
}

func newWorld(t *testing.T, opts ...registrytest.Option) *world {
	t.Helper()
	w := &world{Server: registrytest.New(t, opts...), t: t, sigstore: sigstoretest.New(t), apple: registrytest.Image(1, 1), dir: t.TempDir()}
	w.Push(t, "staging/apple", w.apple, "v1")
	w.Push(t, "prod/apple", w.apple, "v1")
	w.commit = w.manifests("v1")
	client, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.client = client
	return w
}

// manifests commits manifests that want the image under some tags, or not at all.
func (w *world) manifests(tags ...string) string {
	w.t.Helper()
	images := "[]\n"
	if len(tags) > 0 {
		images = fmt.Sprintf("- name: apple\n  dmap:\n    %q: [%s]\n", w.apple.Digest, strings.Join(tags, ", "))
	}
	return write(w.t, w.dir, map[string]string{
		"k8s/images/orchard/images.yaml": images,
		"k8s/manifests/orchard/promoter-manifest.yaml": policyText + "registries:\n- {name: " + w.Host + "/staging, src: true}\n" +
			"- {name: " + w.Host + "/prod, public-name: registry.example.com/orchard}\n",
	})
}

// statement returns the statement of a record. Edits change keys of its predicate.
func (w *world) statement(name string, edits map[string]any) []byte {
	of := func(name string) map[string]any {
		return map[string]any{"name": name, "digest": map[string]string{"sha256": strings.TrimPrefix(w.apple.Digest, "sha256:")}}
	}
	staging := w.Host + "/staging/apple"
	p := map[string]any{
		"srcRef": staging + "@" + w.apple.Digest, "dstRef": name, "digest": w.apple.Digest, "timestamp": "2026-11-02T06:30:00Z",
		"source": of(staging), "destination": of(name),
		"manifest": map[string]any{"name": "k8s/images/orchard/images.yaml", "digest": map[string]string{"gitCommit": w.commit}},
	}
	for k, v := range edits {
		if p[k] = v; v == nil {
			delete(p, k)
		}
	}
	return encoded(w.t, map[string]any{"_type": "https://in-toto.io/Statement/v1", "predicateType": attest.RecordType, "subject": []any{of(name)}, "predicate": p})
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// record attaches a record that somebody has signed.
func (w *world) record(signer string, statement []byte, opts ...sigstoretest.Option) {
	w.t.Helper()
	sigstoretest.Attach(w.t, w.Server, "prod/apple", w.apple, w.sigstore.Bundle(sigstoretest.Identity{SAN: signer, Issuer: issuer}, statement, opts...))
}

// build attaches provenance of the build to the image in a repository.
func (w *world) build(repo, builder string) {
	w.t.Helper()
	statement := encoded(w.t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1",
		"subject": []any{map[string]any{"name": "apple", "digest": map[string]string{"sha256": strings.TrimPrefix(w.apple.Digest, "sha256:")}}},
		"predicate": map[string]any{
			"buildDefinition": map[string]any{"externalParameters": map[string]any{}, "resolvedDependencies": []any{map[string]any{"uri": "git+https://github.com/example/apple"}}},
			"runDetails":      map[string]any{"builder": map[string]any{"id": builder}, "metadata": map[string]any{"invocationId": "7"}},
		},
	})
	sigstoretest.Attach(w.t, w.Server, repo, w.apple, w.sigstore.Bundle(sigstoretest.Identity{SAN: "builder@example.com", Issuer: issuer}, statement))
}

const (
	goodBuilder = "https://builder.example/b"
	publicName  = "registry.example.com/orchard/apple"
)

// verifier returns a verifier for the current manifests.
func (w *world) verifier() *Verifier {
	w.t.Helper()
	trust, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{w.sigstore.TrustedRoot()}})
	if err != nil {
		w.t.Fatal(err)
	}
	at := load.Manifests{Dir: filepath.Join(w.dir, "k8s")}
	set := at.Read()
	if !set.OK() {
		w.t.Fatalf("got faults %v, want none", set.Faults)
	}
	commits, err := OpenCommits(at)
	if err != nil {
		w.t.Fatal(err)
	}
	reader := evidence.NewReader(evidence.Direct(w.client), trust)
	return &Verifier{
		Scope: NewScope(set, plan.Desired(set, nil)), Images: w.client, Records: reader, Policies: reader, Commits: commits, Signers: []check.Signer{byName},
	}
}

// verify verifies references.
func (w *world) verify(v *Verifier, references ...string) []Chain {
	w.t.Helper()
	var subjects []Subject
	for _, r := range references {
		s, err := v.Scope.Find(r)
		if err != nil {
			w.t.Fatal(err)
		}
		subjects = append(subjects, s)
	}
	chains, err := v.Verify(w.t.Context(), subjects, func() {})
	if err != nil {
		w.t.Fatal(err)
	}
	return chains
}
