package provenance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	images "sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// policyOf reads a policy with the required lists.
func policyOf(t *testing.T, mode string, lines ...string) *provenance.Policy {
	t.Helper()
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "builders") {
		lines = append([]string{"builders: [{id: b, level: 3}]"}, lines...)
	}
	p, faults := readPolicy(t, "\n  "+strings.Join(append([]string{"mode: " + mode, signersLine, sourcesLine}, lines...), "\n  ")+"\n")
	for _, f := range faults {
		if !strings.HasPrefix(f, "warning") {
			t.Fatalf("got fault %s, want none", f)
		}
	}
	return p
}

func TestPoliciesOf(t *testing.T) {
	t.Parallel()
	bound := func(source, file string, p *provenance.Policy) provenance.Bound {
		r, err := images.ParseRegistry(source)
		if err != nil {
			t.Fatal(err)
		}
		return provenance.Bound{Policy: p, Source: r, File: file}
	}
	leveled := policyOf(t, "require", "levels: [{images: [a, x/a], level: 3}, {images: [a, '*/b'], level: 2}]")
	policies := provenance.NewPolicies([]provenance.Bound{
		bound("r.io/p/x", "nested", policyOf(t, "require", "level: 2")),
		bound("r.io/p", "parent", leveled),
		bound("r.io/p", "parent again", leveled),
		bound("r.io/p/equal", "equal", leveled),
		bound("r.io/p/warned", "warned", policyOf(t, "warn")),
		bound("r.io/p/off", "off", policyOf(t, "off")),
		bound("r.io/p/none", "none", nil),
		bound("docker.io", "hub", leveled),
	})
	for repo, want := range map[string]string{
		"r.io/p/a":           "parent 3",
		"r.io/p/c":           "parent 0",
		"r.io/p/z/b":         "parent 2",
		"r.io/p/z/b/c":       "parent 0",
		"r.io/p":             "parent 0",
		"r.io/pa":            "",
		"r.io/a":             "",
		"q.io/p/a":           "",
		"r.io/p/x/a":         "parent 3, nested 0",
		"r.io/p/x":           "parent 0, nested 0",
		"r.io/p/equal/a":     "parent 0, equal 3",
		"r.io/p/equal/c":     "parent 0",
		"r.io/p/equal/b":     "parent 2, equal 0",
		"r.io/p/off/a":       "parent 0",
		"r.io/p/none/a":      "parent 0",
		"r.io/p/warned/a":    "parent 0, warned 0",
		"R.IO/p/a":           "parent 3",
		"r.io:443/p/a":       "parent 3",
		"docker.io/a":        "hub 3",
		"index.docker.io/a":  "hub 3",
		"docker.io/z/b":      "hub 2",
		"docker.io/library/": "bad",
	} {
		r, err := images.ParseRepository(repo)
		if err != nil {
			if want != "bad" {
				t.Errorf("%s: got error %v, want none", repo, err)
			}
			continue
		}
		var got []string
		for _, b := range policies.Of(r) {
			got = append(got, fmt.Sprintf("%s %d", b.File, b.Want))
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s: got other policies (-want +got):\n%s", repo, diff)
		}
	}
	if !policies.Any() {
		t.Error("Any: got false, want true")
	}
	var none *provenance.Policies
	if none.Any() || none.Of(images.NewRepository("r.io", "p/a")) != nil {
		t.Error("no policies: got some, want none")
	}
	if provenance.NewPolicies([]provenance.Bound{bound("r.io", "off", policyOf(t, "off"))}).Any() {
		t.Error("a policy that is off: Any: got true, want false")
	}
}

func TestPolicyDifferences(t *testing.T) {
	t.Parallel()
	const a, b = `"sigstore::i::a"`, `"sigstore::i::b"`
	builders := func(s string) string { return "builders: [" + s + "]" }
	of := func(lines ...string) *provenance.Policy { return policyOf(t, "require", lines...) }
	plain := of()
	for _, test := range []struct {
		name string
		x, y *provenance.Policy
		want string
	}{
		{"equal", of(), of(), ""},
		{"both absent", nil, nil, ""},
		{"absent and off", nil, policyOf(t, "off", "level: 2"), ""},
		{"two that are off", policyOf(t, "off"), policyOf(t, "off", "level: 2"), ""},
		{"absent and warn", nil, policyOf(t, "warn"), "mode"},
		{"modes", plain, policyOf(t, "warn"), "mode"},
		{"order of builders", of(builders("{id: b, level: 3}, {id: c, level: 2}")), of(builders("{id: c, level: 2}, {id: b, level: 3}")), ""},
		{"level of a builder", of(builders("{id: b, level: 3}")), of(builders("{id: b, level: 2}")), "builders"},
		{
			"order of signers of a builder",
			of(builders("{id: b, level: 3, signers: [" + a + ", " + b + "]}")), of(builders("{id: b, level: 3, signers: [" + b + ", " + a + "]}")), "",
		},
		{"signers of a builder", of(builders("{id: b, level: 3, signers: [" + a + "]}")), of(builders("{id: b, level: 3, signers: [" + b + "]}")), "builders"},
		{
			"order in a caller",
			of(builders("{id: b, level: 3, caller: {refs: [refs/a, refs/b], workflows: [.github/workflows/a, .github/workflows/b]}}")),
			of(builders("{id: b, level: 3, caller: {workflows: [.github/workflows/b, .github/workflows/a], refs: [refs/b, refs/a, refs/b]}}")), "",
		},
		{"caller", of(builders("{id: b, level: 3, caller: {refs: [refs/a]}}")), of(builders("{id: b, level: 3}")), "builders"},
		{"predicate types", of("predicateTypes: [x, y]"), of("predicateTypes: [y, x]"), ""},
		{"other predicate types", of("predicateTypes: [x]"), of(), "predicateTypes"},
		{"level", of("level: 2"), of("level: 3"), "level"},
		{"levels in another form", of("levels: [{images: [a, b], level: 3}]"), of("levels: [{images: [b], level: 2}, {images: [b, a], level: 3}]"), ""},
		{"levels", of("levels: [{images: [a], level: 3}]"), of("levels: [{images: [a], level: 2}]"), "levels"},
	} {
		if got := strings.Join(test.x.Differences(test.y), ", "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		if got := strings.Join(test.y.Differences(test.x), ", "); got != test.want {
			t.Errorf("%s, exchanged: got %q, want %q", test.name, got, test.want)
		}
		if equal := test.x.Digest() == test.y.Digest(); equal != (test.want == "") {
			t.Errorf("%s: got equal digests: %v, want %v", test.name, equal, test.want == "")
		}
	}
}
