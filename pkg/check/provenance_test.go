package check_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// built is evidence by repository and digest, such as "staging/apple (a)": the sources that
// provenance names, or an error. Other images have none.
type built struct {
	sources map[string]string
	errs    map[string]error

	mu   sync.Mutex
	read []string
}

func (b *built) Gather(_ context.Context, repo name.Repository, digest v1.Hash) *provenance.Evidence {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := short.Replace(repo.String() + " " + digest.String())
	b.read = append(b.read, key)
	e := &provenance.Evidence{Repository: repo, Digest: digest, Err: b.errs[key]}
	source, ok := b.sources[key]
	if !ok || e.Err != nil {
		return e
	}
	e.Attestations = []provenance.Attestation{{
		URI: repo.Digest(digest.String()).String(), State: provenance.Verified, Signer: provenance.Identity{SAN: "me", Issuer: "i"},
		Statement: &provenance.Statement{
			Type: provenance.StatementV1, PredicateType: provenance.ProvenanceV1, Subjects: []provenance.Subject{{Digest: map[string]string{"sha256": digest.Hex}}},
			Predicate: []byte(`{"buildDefinition":{"externalParameters":{},"resolvedDependencies":[{"uri":"git+` + source + `"}]},` +
				`"runDetails":{"builder":{"id":"b"},"metadata":{"invocationId":"7"}}}`),
		},
	}}
	return e
}

// policed returns a manifest of apple and pear with a policy.
func policed(source, mode, from string) string {
	policy := ""
	if mode != "" {
		policy = "provenance: {mode: " + mode + ", signers: [\"sigstore::i::me\"], builders: [{id: b, level: 3}], sources: [" + from + "]}"
	}
	return "registries:\n- {name: r.example/" + source + ", src: true}\n- name: r.example/prod\n- name: r.example/eu\n" + policy + "\nimages:\n" + apples
}

func TestProvenance(t *testing.T) {
	t.Parallel()
	const app = "https://x.example/app"
	e := &built{
		sources: map[string]string{"staging/apple (a)": app, "staging/apple (b)": "https://x.example/other"},
		errs:    map[string]error{"staging/pear (c)": fmt.Errorf("reading referrers: 503: %w", inventory.ErrRetryable)},
	}
	items := []plan.Item{
		item(plan.Copy, "eu/apple", digestA, "1.0"), item(plan.TagOnly, "eu/apple", digestB, "2.0"), item(plan.Copy, "prod/apple", digestA, "1.0"),
		item(plan.Copy, "prod/apple", digestB, "2.0"), item(plan.Copy, "prod/pear", digestC),
	}
	for _, test := range []struct {
		name, manifest string
		want           string // findings
		plan           string // statuses after Refuse
		read           int
	}{
		{"no policy", policed("staging", "", ""), "", "planned planned planned planned planned", 0},
		{"off", policed("staging", "off", app), "", "planned planned planned planned planned", 0},
		{
			"require", policed("staging", "require", app),
			"m.yaml:10 error staging/apple@(b) does not satisfy the policy at m.yaml:5:1: no provenance of it is accepted: …\n" +
				"m.yaml:13 error staging/pear@(c) does not satisfy the policy at m.yaml:5:1: its evidence cannot be read: …\n",
			"planned refused planned refused refused retryable", 3,
		},
		{
			"warn", policed("staging", "warn", app),
			"m.yaml:10 note staging/apple@(b) does not satisfy the policy at m.yaml:5:1: no provenance of it is accepted: …\n" +
				"m.yaml:13 note staging/pear@(c) does not satisfy the policy at m.yaml:5:1: its evidence cannot be read: …\n",
			"planned planned planned planned planned", 3,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			one := &built{sources: e.sources, errs: e.errs}
			s := set(t, map[string]string{"m.yaml": test.manifest})
			in := input(s, append([]plan.Item{}, items...)...)
			found := check.Run(t.Context(), []check.Rule{check.Provenance{Evidence: one}}, in)
			if diff := cmp.Diff(test.want, cut(lines(found))); diff != "" {
				t.Errorf("got other findings (-want +got):\n%s", diff)
			}
			for _, f := range found {
				if warn := test.name == "warn"; f.Warning != warn {
					t.Errorf("%s: got a warning: %v, want %v", f.Message, f.Warning, warn)
				}
			}
			check.Refuse(in.Plan, found)
			var statuses []string
			for _, it := range in.Plan.Items {
				statuses = append(statuses, it.Status.String())
				if it.Retryable {
					statuses = append(statuses, "retryable")
				}
			}
			if got := strings.Join(statuses, " "); got != test.plan {
				t.Errorf("got statuses %s, want %s", got, test.plan)
			}
			if len(one.read) != test.read {
				t.Errorf("got evidence read of %v, want %d images", one.read, test.read)
			}
		})
	}
}

// cut leaves out the reasons of violations.
func cut(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		for _, reason := range []string{"no provenance of it is accepted: ", "its evidence cannot be read: "} {
			if before, _, ok := strings.Cut(line, reason); ok {
				line = before + reason + "…\n"
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

// A digest that comes from two sources is judged in both, and refused only where the source
// that is bound would promote it to.
func TestProvenanceOfTwoSources(t *testing.T) {
	t.Parallel()
	const images = "images: [{name: apple, dmap: {\"(a)\": [\"1.0\"]}}]\n"
	s := set(t, map[string]string{"m.yaml": "registries: [{name: r.example/free, src: true}, {name: r.example/prod}, {name: r.example/both}]\n" + images +
		"---\nregistries: [{name: r.example/staging, src: true}, {name: r.example/eu}, {name: r.example/both}]\n" + images +
		"provenance: {mode: require, signers: [\"sigstore::i::me\"], builders: [{id: b, level: 3}], sources: [s]}\n"})
	for dst, want := range map[string]string{"prod/apple": "planned", "eu/apple": "refused", "both/apple": "refused"} {
		in := input(s, item(plan.Copy, "both/apple", digestA, "1.0"), item(plan.Copy, "eu/apple", digestA, "1.0"), item(plan.Copy, "prod/apple", digestA, "1.0"))
		found := check.Run(t.Context(), []check.Rule{check.Provenance{Evidence: &built{}}}, in)
		if len(found) != 1 || !strings.Contains(found[0].Message, "staging/apple@") {
			t.Fatalf("got findings\n%s, want one about staging/apple", lines(found))
		}
		check.Refuse(in.Plan, found)
		for _, it := range in.Plan.Items {
			if got := it.Status.String(); it.Destination == repo(dst) && got != want {
				t.Errorf("%s: got %s, want %s", dst, got, want)
			}
		}
	}
}

// A native file sets a tag in the repository that a policy binds.
func TestProvenanceOfNativeEntries(t *testing.T) {
	t.Parallel()
	s := set(t, map[string]string{"m.yaml": policed("staging", "require", "s") +
		"---\nimages: [{name: r.example/staging/apple, src_build_tag: x, tag: y, digest: \"(c)\"}]\n"})
	it := item(plan.TagOnly, "staging/apple", digestC, "y")
	it.Present = true
	found := check.Run(t.Context(), []check.Rule{check.Provenance{Evidence: &built{}}}, input(s, it))
	if got := cut(lines(found)); !strings.HasPrefix(got, "m.yaml:15 error staging/apple@(c) does not satisfy the policy at m.yaml:5:1") {
		t.Errorf("got findings\n%s, want one at m.yaml:15", got)
	}
}

func TestPolicyPreview(t *testing.T) {
	t.Parallel()
	const good, other = "https://x.example/app", "https://x.example/other"
	e := map[string]string{"staging/apple (a)": good, "staging/apple (b)": other}
	fails := func(line int, level, what string) string {
		return fmt.Sprintf("m.yaml:%d %s newly fails: staging/%s does not satisfy the policy at m.yaml:5:1: …\n", line, level, what)
	}
	for _, test := range []struct {
		name, base, head string
		want             string
		read             bool
	}{
		{"no policy", policed("staging", "", ""), policed("staging", "", ""), "", false},
		{"the same", policed("staging", "require", good), policed("staging", "require", good), "", false},
		{"another position", policed("staging", "require", good), "# x\n" + policed("staging", "require", good), "", false},
		{"off to off", policed("staging", "", ""), policed("staging", "off", other), "", false},
		{"none to require", policed("staging", "", ""), policed("staging", "require", good), fails(10, "error", "apple@(b)") + fails(13, "error", "pear@(c)"), true},
		{"none to warn", policed("staging", "off", good), policed("staging", "warn", good), fails(10, "note", "apple@(b)") + fails(13, "note", "pear@(c)"), true},
		{"warn to require", policed("staging", "warn", good), policed("staging", "require", good), fails(10, "error", "apple@(b)") + fails(13, "error", "pear@(c)"), true},
		{
			"other sources", policed("staging", "require", good), policed("staging", "require", other),
			fails(9, "error", "apple@(a)") + "m.yaml:10 note newly passes: staging/apple@(b) was refused by the policies of the base\n", true,
		},
		{
			"require to warn", policed("staging", "require", good), policed("staging", "warn", good),
			"m.yaml:10 note newly passes: staging/apple@(b) was refused by the policies of the base\n" +
				"m.yaml:13 note newly passes: staging/pear@(c) was refused by the policies of the base\n", true,
		},
		{
			"warn to none", policed("staging", "warn", good), policed("staging", "", ""),
			"m.yaml:10 note newly passes: staging/apple@(b) was warned of by the policies of the base\n" +
				"m.yaml:13 note newly passes: staging/pear@(c) was warned of by the policies of the base\n", true,
		},
		{"another source registry", policed("elsewhere", "off", good), policed("staging", "require", good), "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			one := &built{sources: e}
			base := set(t, map[string]string{"m.yaml": test.base})
			head := set(t, map[string]string{"m.yaml": test.head})
			in := input(head, []plan.Item{}...)
			in.Base = plan.Desired(base, nil)
			found := check.Run(t.Context(), []check.Rule{check.Provenance{Evidence: one, Base: base}}, in)
			var got strings.Builder
			for line := range strings.Lines(lines(found)) {
				if before, _, ok := strings.Cut(line, ":5:1: "); ok {
					line = before + ":5:1: …\n"
				}
				got.WriteString(line)
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("got other findings (-want +got):\n%s", diff)
			}
			if read := len(one.read) > 0; read != test.read {
				t.Errorf("got evidence read of %v, want some: %v", one.read, test.read)
			}
			for _, f := range found {
				if f.Image.Digest != (v1.Hash{}) || len(f.Places) != 1 || f.Old {
					t.Errorf("%s: got image %v, places %v, old %v, want no image, one place and not old", f.Message, f.Image.Digest, f.Places, f.Old)
				}
			}
		})
	}
}

// A digest that is new, or is promoted again, has one finding.
func TestPolicyPreviewAndPromotion(t *testing.T) {
	t.Parallel()
	base := set(t, map[string]string{"m.yaml": strings.Replace(policed("staging", "off", "s"), `["1.0"]`, "[]", 1)})
	head := set(t, map[string]string{"m.yaml": policed("staging", "require", "s")})
	in := input(head, item(plan.TagOnly, "eu/apple", digestA, "1.0"), item(plan.TagOnly, "prod/apple", digestA, "1.0"))
	in.Base = plan.Desired(base, nil)
	found := check.Run(t.Context(), []check.Rule{check.Provenance{Evidence: &built{}, Base: base}}, in)
	var at []string
	for _, f := range found {
		message, _, _ := strings.Cut(f.Message, " does not")
		at = append(at, fmt.Sprintf("%d %s", f.Pos.Line, short.Replace(message)))
	}
	want := []string{"9 staging/apple@(a)", "10 newly fails: staging/apple@(b)", "13 newly fails: staging/pear@(c)"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("got other findings (-want +got):\n%s", diff)
	}
}
