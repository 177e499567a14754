package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// attested is a promotion with evidence: an index with provenance, and a policy for it.
type attested struct {
	t        *testing.T
	sigstore *sigstoretest.Sigstore
	src, dst *rt.Server
	index    rt.Object
	amd, arm rt.Object
	manifest string
	root     string // trusted_root.json
	services []string
}

var (
	promoter = sigstoretest.Identity{SAN: "promoter@example.com", Issuer: "https://accounts.example.com"}
	workflow = sigstoretest.Identity{
		SAN:              "https://github.com/orchard/apple/.github/workflows/build.yml@refs/tags/v1",
		Issuer:           "https://token.actions.githubusercontent.com",
		SourceRepository: "https://github.com/orchard/apple",
	}
)

const (
	recordType  = "https://k8s.io/promo-tools/promotion/v1"
	summaryType = "https://slsa.dev/verification_summary/v1"
	slsaType    = "https://slsa.dev/provenance/v1"
	production  = "registry.example.com/orchard/apple"
)

// newAttested pushes the index with its provenance, and commits a manifest with a policy.
func newAttested(t *testing.T, opts ...rt.Option) *attested {
	t.Helper()
	a := &attested{t: t, sigstore: sigstoretest.New(t), src: rt.New(t), dst: rt.New(t, opts...)}
	a.amd, a.arm = rt.Image(1, 1, rt.Platform("linux/amd64")), rt.Image(2, 1, rt.Platform("linux/arm64"))
	a.index = rt.Index([]rt.Object{a.amd, a.arm})
	a.src.Push(t, "staging/orchard/apple", a.index, "v1")
	statement := strings.Replace(string(rt.Statement(slsaType, a.index.Digest)), `"predicateType"`, fmt.Sprintf(`"predicate":{`+
		`"buildDefinition":{"externalParameters":{},"resolvedDependencies":[{"uri":"git+%s@refs/tags/v1"}]},`+
		`"runDetails":{"builder":{"id":%q},"metadata":{"invocationId":"1"}}},"predicateType"`, workflow.SourceRepository, workflow.SAN), 1)
	sigstoretest.Attach(t, a.src, "staging/orchard/apple", a.index, a.sigstore.Bundle(workflow, []byte(statement)))
	dir := t.TempDir()
	a.manifest, a.root = filepath.Join(dir, "promote.yaml"), filepath.Join(t.TempDir(), "root.json")
	text := fmt.Sprintf(`registries:
- name: %s/staging/orchard
  src: true
- name: %s/us/orchard
  public-name: registry.example.com/orchard
  attestations: true
- name: %s/eu/orchard
  public-name: registry.example.com/orchard
provenance:
  mode: require
  signers: ["sigstore::%s::%s"]
  builders: [{id: %q, level: 3}]
  sources: [%q]
images:
%s`, a.src.Host, a.dst.Host, a.dst.Host, workflow.Issuer, workflow.SAN, workflow.SAN, workflow.SourceRepository, entry("apple", a.index.Digest, "v1", "v1.0"))
	for name, raw := range map[string][]byte{a.manifest: []byte(text), a.root: a.sigstore.TrustedRoot()} {
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gittest.CommitAll(t, dir)
	addFile(t, filepath.Join(dir, ".git", "config"), "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://me:secret-of-git@git.example.com/manifests.git\n", 0o600)
	a.services = []string{"--fulcio-url=" + a.sigstore.FulcioURL(), "--rekor-url=" + a.sigstore.RekorURL(), "--timestamp-url=" + a.sigstore.TimestampURL()}
	return a
}

// begin starts cip as the promoter, with the services of the sigstore.
func (a *attested) begin(command string, args ...string) *process {
	a.t.Helper()
	all := append([]string{command, "--manifest=" + a.manifest, "--trusted-root=" + a.root}, a.services...)
	p := prepare(a.t, append(all, args...)...)
	p.Env = append(p.Env, "SIGSTORE_ID_TOKEN="+a.sigstore.Token(promoter))
	p.begin(a.t)
	return p
}

// run runs cip run with all kinds of evidence, and returns its outcome.
func (a *attested) run(code int, args ...string) outcome {
	a.t.Helper()
	out := a.begin("run", append(writeAll(), args...)...).wait(a.t, runLimit)
	if out.code != code {
		a.t.Fatalf("cip run: exit code %d, want %d\n%s", out.code, code, out)
	}
	if text := out.String(); strings.Contains(text, a.sigstore.Token(promoter)) || strings.Contains(text, "secret-of-git") {
		a.t.Errorf("got a secret in the output, want none\n%s", text)
	}
	return out
}

// writeAll are the flags for all kinds of evidence.
func writeAll() []string { return []string{"--attest", "--verification-summaries", "--sign"} }

// evidenceOf returns the items of evidence: what, about which image, and the outcome.
func (a *attested) evidenceOf(out outcome) []string {
	a.t.Helper()
	names := map[string]string{a.index.Digest: "index", a.amd.Digest: "amd64", a.arm.Digest: "arm64"}
	var all []string
	for _, p := range out.report.Promotions {
		if p.Kind != "evidence" {
			continue
		}
		if want := a.dst.Host + "/us/orchard/apple"; p.Destination != want || p.Action != "attest" {
			a.t.Errorf("got %s in %s, want attest in %s", p.Action, p.Destination, want)
		}
		all = append(all, p.What+" of "+names[p.Digest]+" "+p.Status)
	}
	slices.Sort(all)
	return all
}

// allEvidence is what a run writes about the index, with its outcome.
func allEvidence(status string) []string {
	all := []string{"attestation of index", "record of index", "signature of index", "summary of amd64", "summary of arm64", "summary of index"}
	for i := range all {
		all[i] += " " + status
	}
	return all
}

// reader reads evidence in the destination, as a library does.
func (a *attested) reader() *evidence.Reader {
	a.t.Helper()
	trust, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{a.sigstore.TrustedRoot()}})
	if err != nil {
		a.t.Fatal(err)
	}
	client, err := registry.New(registry.Options{NoAmbient: true})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(client.Close)
	return evidence.NewReader(evidence.Direct(client), trust)
}

// statement returns the predicate of the only statement of a type about an image, which
// the promoter has signed.
func (a *attested) statement(digest, predicateType string, into any) {
	a.t.Helper()
	all, err := a.reader().Attestations(a.t.Context(), image.NewRepository(a.dst.Host, "us/orchard/apple"), image.Hash(digest), predicateType)
	if err != nil || len(all) != 1 {
		a.t.Fatalf("got %d statements of type %s, %v, want one", len(all), predicateType, err)
	}
	s := all[0]
	if s.State != provenance.Verified || s.Signer.SAN != promoter.SAN || s.Statement.Subjects[0].Name != production {
		a.t.Errorf("got %+v (%s) about %+v, want it signed by %s, about %s", s.Signer, s.Reason, s.Statement.Subjects, promoter.SAN, production)
	}
	if err := json.Unmarshal(s.Statement.Predicate, into); err != nil {
		a.t.Fatal(err)
	}
}

// Keyless, from the token to bundles that a library verifies, with the referrers API and
// without. A second run writes nothing.
func TestEvidence(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]rt.Option{"referrers API": nil, "fallback tag": {rt.NoReferrers()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttested(t, opts...)
			dry := a.run(0)
			if diff := cmp.Diff(allEvidence("planned"), a.evidenceOf(dry)); diff != "" || len(a.dst.Writes()) > 0 {
				t.Errorf("dry run: got writes %v (-want +got)\n%s", a.dst.Writes(), diff)
			}
			out := a.run(0, "--confirm")
			if diff := cmp.Diff(allEvidence("done"), a.evidenceOf(out)); diff != "" || len(out.report.Warnings) > 0 {
				t.Fatalf("got warnings %q (-want +got)\n%s", out.report.Warnings, diff)
			}
			if !strings.Contains(out.stdout, "6 pieces of evidence written") {
				t.Errorf("got %s, want the number of pieces", out.stdout)
			}
			var record struct {
				Tags     []string
				SrcRef   string
				Manifest struct {
					Name, URI string
					Digest    map[string]string
				}
				BuilderID string
			}
			a.statement(a.index.Digest, recordType, &record)
			if !slices.Equal(record.Tags, []string{"v1", "v1.0"}) || record.SrcRef != a.src.Host+"/staging/orchard/apple@"+a.index.Digest ||
				record.Manifest.Name != "promote.yaml" || record.Manifest.URI != "git+https://git.example.com/manifests" || len(record.Manifest.Digest["gitCommit"]) != 40 {
				t.Errorf("got record %+v, want both tags, the source, and the manifest with its commit", record)
			}
			for digest, level := range map[string]string{
				a.index.Digest: "SLSA_BUILD_LEVEL_3", a.amd.Digest: "SLSA_BUILD_LEVEL_UNEVALUATED", a.arm.Digest: "SLSA_BUILD_LEVEL_UNEVALUATED",
			} {
				var vsa struct {
					VerifiedLevels []string
					Policy         struct{ URI string }
				}
				a.statement(digest, summaryType, &vsa)
				if want := []string{level, "PROMOTION_MANIFEST_REVIEWED"}; !slices.Equal(vsa.VerifiedLevels, want) || vsa.Policy.URI != "git+https://git.example.com/manifests#promote.yaml" {
					t.Errorf("%s: got %+v, want levels %v and the policy's file", digest, vsa, want)
				}
			}
			for _, o := range []rt.Object{a.index, a.amd, a.arm} {
				signers, invalid, err := a.reader().Signed(t.Context(), image.NewRepository(a.dst.Host, "us/orchard/apple"), image.Hash(o.Digest))
				if err != nil || len(signers) != 1 || signers[0].SAN != promoter.SAN {
					t.Errorf("got signers %+v, %q, %v, want the promoter", signers, invalid, err)
				}
			}
			a.dst.Reset()
			again := a.run(0, "--confirm")
			if writes := a.dst.Writes(); len(writes) > 0 || len(again.report.Promotions) > 0 {
				t.Errorf("got %+v and writes %v from a second run, want none", again.report.Promotions, writes)
			}
		})
	}
}

// Images that are up to date, and runs without the flags, cost not one request more.
func TestEvidenceCostsNothingUnasked(t *testing.T) {
	t.Parallel()
	a := newAttested(t)
	plain := func(args ...string) (src, dst int) {
		t.Helper()
		a.src.Reset()
		a.dst.Reset()
		run(t, 0, append([]string{"--manifest=" + a.manifest, "--trusted-root=" + a.root}, args...)...)
		return len(a.src.Requests()), len(a.dst.Requests())
	}
	plain("--confirm")
	if found := a.dst.Count(rt.Referrers); found > 0 {
		t.Errorf("got %d requests for referrers of the destination, want none without a flag", found)
	}
	src, dst := plain("--confirm")
	a.src.Reset()
	a.dst.Reset()
	a.run(0, "--confirm")
	if gotSrc, gotDst := len(a.src.Requests()), len(a.dst.Requests()); gotSrc != src || gotDst != dst {
		t.Errorf("up to date: got %d and %d requests with the flags, want %d and %d as without", gotSrc, gotDst, src, dst)
	}
}

// Evidence that cannot be written makes the exit code 1; the image stays promoted.
func TestEvidenceFails(t *testing.T) {
	t.Parallel()
	a := newAttested(t)
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"message":"no entry for `+r.Header.Get("Authorization")+`"}`, http.StatusBadRequest)
	}))
	t.Cleanup(refuse.Close)
	out := a.run(1, "--confirm", "--rekor-url="+refuse.URL)
	want := append([]string{"attestation of index done"}, allEvidence("failed")[1:]...)
	if diff := cmp.Diff(want, a.evidenceOf(out)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := a.dst.Tags(t, "us/orchard/apple")["v1"]; got != a.index.Digest {
		t.Errorf("got tag v1 at %q, want the image promoted", got)
	}
}

// A signer that is not usable ends the run before a registry is asked anything.
func TestUnusableSigner(t *testing.T) {
	t.Parallel()
	a := newAttested(t)
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{{"--signing-key=" + missing}, {"--identity-token-file=" + missing}, {"--signing-key=" + a.root}, {"--identity-token-file=" + a.root}} {
		a.src.Reset()
		a.dst.Reset()
		out := a.run(1, append(args, "--confirm")...)
		if n := len(a.src.Requests()) + len(a.dst.Requests()); n > 0 || out.report != nil || !strings.Contains(out.stderr, args[0][:strings.Index(args[0], "=")]) && !strings.Contains(out.stderr, "identity token") {
			t.Errorf("%s: got %d requests\n%s\nwant none, and an error that names the flag", args[0], n, out)
		}
	}
}

// What cip signs keyless verifies with cosign, too. TestCosign does that by key.
func TestCosignKeyless(t *testing.T) {
	t.Parallel()
	cosign := os.Getenv(cosignVariable)
	if cosign == "" {
		t.Skipf("%s does not name cosign", cosignVariable)
	}
	a := newAttested(t)
	a.run(0, "--confirm")
	for _, args := range [][]string{
		{"verify", "--new-bundle-format=false"},
		{"verify-attestation", "--new-bundle-format", "--type=" + recordType},
		{"verify-attestation", "--new-bundle-format", "--type=" + summaryType},
	} {
		args = append(args, "--trusted-root="+a.root, "--certificate-identity="+promoter.SAN, "--certificate-oidc-issuer="+promoter.Issuer,
			"--allow-http-registry", a.dst.Host+"/us/orchard/apple@"+a.index.Digest)
		cmd := exec.CommandContext(t.Context(), cosign, args...)
		cmd.Env = environment(t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("cosign %v: %v\n%s", args, err, out)
		}
	}
}
