package manifest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// enforced is a policy, with one more key.
func enforced(more string) string {
	return "provenance: {mode: require, signers: [\"sigstore::i::me\"], builders: [{id: b, level: 3}], sources: [s]" + more + "}\n"
}

// registriesOf returns the registries of a manifest with a source.
func registriesOf(source string) string {
	return "registries:\n- {name: " + source + ", src: true}\n- {name: d.io}\n"
}

func TestPoliciesOfOneSource(t *testing.T) {
	t.Parallel()
	const a, b = "manifests/a/promoter-manifest.yaml", "manifests/b/promoter-manifest.yaml"
	const prefix = "the policies of source s.io/p must be equal: "
	for _, test := range []struct {
		name, first, second string
		want                []string
	}{
		{"equal", registriesOf("s.io/p") + enforced(""), registriesOf("s.io/p") + enforced(", predicateTypes: []"), nil},
		{"none", registriesOf("s.io/p"), registriesOf("s.io/p"), nil},
		{"none and off", registriesOf("s.io/p"), registriesOf("s.io/p") + "provenance: {mode: off}\n", nil},
		{"another source", registriesOf("s.io/p") + enforced(""), registriesOf("s.io/q"), nil},
		{"a nested source", registriesOf("s.io/p") + enforced(""), registriesOf("s.io/p/q"), nil},
		{"another spelling", registriesOf("s.io/p") + enforced(""), registriesOf("S.io:443/p/") + enforced(", level: 2"), []string{
			a + ":4:1: " + prefix + a + ":4:1 and " + b + ":4:1 differ in level",
			b + ":4:1: " + prefix + a + ":4:1 and " + b + ":4:1 differ in level",
		}},
		{"the second has none", registriesOf("s.io/p") + enforced(""), registriesOf("s.io/p"), []string{
			a + ":4:1: " + prefix + a + ":4:1 has one, " + b + ":2:3 has none",
			b + ":2:3: " + prefix + a + ":4:1 has one, " + b + ":2:3 has none",
		}},
		{"the first has none", registriesOf("s.io/p"), registriesOf("s.io/p") + enforced(""), []string{
			a + ":2:3: " + prefix + a + ":2:3 has none, " + b + ":4:1 has one",
			b + ":4:1: " + prefix + a + ":2:3 has none, " + b + ":4:1 has one",
		}},
		{"the second is off", registriesOf("s.io/p") + enforced(""), registriesOf("s.io/p") + "provenance: {mode: off}\n", []string{
			a + ":4:1: " + prefix + a + ":4:1 and " + b + ":4:1 differ in mode",
			b + ":4:1: " + prefix + a + ":4:1 and " + b + ":4:1 differ in mode",
		}},
		{"a pattern that matches an image of a nested source", registriesOf("s.io/p") + enforced(", levels: [{images: ['q/*'], level: 3}]"), registriesOf("s.io/p/q"), nil},
		{"a pattern that matches nothing", registriesOf("s.io/p") + enforced(", levels: [{images: [x, z], level: 3}]"), registriesOf("s.io/z"), []string{
			a + `:4:113: levels: pattern "z" matches no image below s.io/p`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			images := &fstest.MapFile{Data: []byte("- name: x\n  dmap: {\"sha256:" + strings.Repeat("0", 64) + "\": [v1]}\n")}
			files := fstest.MapFS{a: {Data: []byte(test.first)}, b: {Data: []byte(test.second)}, "images/a/images.yaml": images, "images/b/images.yaml": images}
			set := manifest.Thin(files, "")
			got := faultsOf(set)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("got other faults (-want +got):\n%s", diff)
			}
			if broken := len(test.want) > 1; set.Broken() != broken {
				t.Errorf("got a broken set: %v, want %v", set.Broken(), broken)
			}
			if joined := faultsOf(manifest.Join(set)); !cmp.Equal(got, joined) {
				t.Errorf("joined: got faults %q, want %q", joined, got)
			}
		})
	}
}

// A policy binds images of its source in every manifest.
func TestSetPolicies(t *testing.T) {
	t.Parallel()
	set := manifest.Plain(fstest.MapFS{"m": {Data: []byte(registriesOf("s.io/p") + enforced("") + "---\n" + registriesOf("s.io/p/q") + "---\n" + registriesOf("s.io"))}}, "m", "")
	if !set.OK() {
		t.Fatalf("got faults %v, want none", set.Faults)
	}
	for repo, want := range map[string]int{"p/a": 1, "p/q/a": 1, "a": 0} {
		if got := len(set.Policies().Of(image.NewRepository("s.io", repo))); got != want {
			t.Errorf("s.io/%s: got %d policies, want %d", repo, got, want)
		}
	}
}
