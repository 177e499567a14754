package check_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
)

// thin returns a thin manifest directory for two destinations, with an images list for each name.
func thin(lists map[string]string) map[string]string {
	files := map[string]string{"manifests/OWNERS": "", "images/OWNERS": ""}
	for name, list := range lists {
		files["manifests/"+name+"/promoter-manifest.yaml"] = "registries:\n- {name: r.example/staging-" + name + ", src: true}\n- name: r.example/prod\n- name: r.example/eu\n"
		files["images/"+name+"/images.yaml"] = list
	}
	return files
}

func TestRemoval(t *testing.T) {
	t.Parallel()
	const apple = "- name: apple\n  dmap:\n    \"(a)\": [\"1.0\", latest]\n    \"(b)\": []\n"
	const broken = "- {name: pear, dmpa: {}}\n"
	without := func(files map[string]string, name string) map[string]string {
		files = maps.Clone(files)
		delete(files, name)
		return files
	}
	tests := map[string]struct {
		base, head map[string]string
		want       string
	}{
		"nothing changed": {plain(apple), plain(apple), ""},
		"added":           {plain(apple), plain(apple + "- name: pear\n  dmap: {\"(c)\": [\"1.0\"]}\n"), ""},
		"tag gone": {plain(apple), plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\"]\n    \"(b)\": []\n"),
			"m.yaml:8 error tag latest of (a) was removed from eu/apple and prod/apple; the manifests had it at BASE\n"},
		"tag moved to another digest": {plain(apple), plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\"]\n    \"(b)\": [latest]\n"),
			"m.yaml:8 error tag latest of (a) was removed from eu/apple and prod/apple; the manifests had it at BASE\n"},
		"tagless digest gone": {plain(apple), plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\", latest]\n"),
			"m.yaml:9 error (b) was removed from eu/apple and prod/apple; the manifests had it at BASE\n"},
		"tagless digest tagged":     {plain(apple), plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\", latest]\n    \"(b)\": [\"2.0\"]\n"), ""},
		"in another order and form": {plain(apple), plain("- name: apple\n  dmap: {(b): []}\n- name: apple\n  dmap: {(a): [latest]}\n- name: apple\n  dmap: {(a): ['1.0']}\n"), ""},
		"destination gone": {plain(apple), map[string]string{"m.yaml": "registries:\n- {name: r.example/staging, src: true}\n- name: r.example/prod\nimages:\n" + apple},
			"m.yaml:4 error 1 destination (eu) removed, with 3 tags or digests in 1 repository, for example tag 1.0 of (a), tag latest of (a), (b); the manifests had them at BASE\n"},
		"destination gone, and a tag": {plain(apple), map[string]string{"m.yaml": "registries:\n- {name: r.example/staging, src: true}\n- name: r.example/prod\nimages:\n- name: apple\n  dmap: {\"(a)\": ['1.0'], \"(b)\": []}\n"},
			"m.yaml:4 error 1 destination (eu) removed, with 3 tags or digests in 1 repository, for example tag 1.0 of (a), tag latest of (a), (b); the manifests had them at BASE\n" +
				"m.yaml:8 error tag latest of (a) was removed from prod/apple; the manifests had it at BASE\n"},
		"another source":                {plain(apple), map[string]string{"m.yaml": "registries:\n- {name: r.example/other, src: true}\n- name: r.example/eu\n- name: r.example/prod\nimages:\n" + apple}, ""},
		"moved to another team's files": {thin(map[string]string{"one": apple, "two": ""}), thin(map[string]string{"one": "", "two": apple}), ""},
		"files deleted": {thin(map[string]string{"one": apple, "two": "- name: pear\n  dmap: {\"(c)\": [\"1.0\"]}\n"}), thin(map[string]string{"one": apple}),
			"images/two/images.yaml:2 error tag 1.0 of (c) was removed from eu/pear and prod/pear; the manifests had it at BASE\n"},
		"images of two teams in one repository": {thin(map[string]string{"one": apple, "two": "- name: apple\n  dmap: {\"(c)\": [\"3.0\"]}\n"}),
			thin(map[string]string{"one": "- name: apple\n  dmap: {\"(c)\": [\"3.0\"]}\n", "two": apple}), ""},
		"one of two teams in one repository": {thin(map[string]string{"one": apple, "two": "- name: apple\n  dmap: {\"(c)\": [\"3.0\"]}\n"}), thin(map[string]string{"one": apple}),
			"images/two/images.yaml:2 error tag 3.0 of (c) was removed from eu/apple and prod/apple; the manifests had it at BASE\n"},
		"nothing at the base": {thin(nil), thin(map[string]string{"one": apple}),
			"manifests/one/promoter-manifest.yaml:0 note nothing to compare with: there were no manifests here at BASE\n"},
		"an unreadable list at the base": {thin(map[string]string{"one": apple, "two": "x: y\n"}), thin(map[string]string{"one": "", "two": ""}),
			"images/one/images.yaml:3 error 1 image (apple) removed, with 3 tags or digests in 2 repositories, for example tag 1.0 of (a), tag latest of (a), (b); the manifests had them at BASE\n" +
				"images/two/images.yaml:1 failed the manifests at BASE are broken: images.yaml: want a list, found a mapping\n"},
		"no list at the base": {without(thin(map[string]string{"one": apple}), "images/one/images.yaml"), thin(map[string]string{"one": apple}),
			"images/one/images.yaml:0 failed the manifests at BASE are broken: no such file or directory: manifests/one/promoter-manifest.yaml needs it\n"},
		"an unreadable file at the base": {map[string]string{"m.yaml": "registries: [\n"}, plain(apple),
			"m.yaml:1 failed the manifests at BASE are broken: bad YAML: did not find expected node content\n"},
		"broken in the same way": {thin(map[string]string{"one": apple, "two": broken}), thin(map[string]string{"one": apple, "two": broken}), ""},
		"broken in the same way, and removed from elsewhere": {thin(map[string]string{"one": "- name: fig\n  dmap: {\"(c)\": [\"1.0\"]}\n", "two": broken}), thin(map[string]string{"one": "", "two": broken}),
			"images/one/images.yaml:2 error tag 1.0 of (c) was removed from eu/fig and prod/fig; the manifests had it at BASE\n"},
		"broken, and something removed": {thin(map[string]string{"one": "", "two": apple + broken}), thin(map[string]string{"one": "", "two": broken}),
			"images/two/images.yaml:5 failed the manifests at BASE are broken: an images entry: unknown key \"dmpa\": did you mean \"dmap\"?\n"},
		"broken, and a destination removed": {thin(map[string]string{"two": apple + broken}), func() map[string]string {
			files := thin(map[string]string{"two": apple + broken})
			files["manifests/two/promoter-manifest.yaml"] = strings.ReplaceAll(files["manifests/two/promoter-manifest.yaml"], "- name: r.example/eu\n", "")
			return files
		}(),
			"images/two/images.yaml:5 failed the manifests at BASE are broken: an images entry: unknown key \"dmpa\": did you mean \"dmap\"?\n"},
		"an overlap fixed": {plain(apple + "- name: apple\n  dmap: {\"(c)\": [\"1.0\"]}\n"), plain(apple), ""},
		"an overlap fixed, and a tag removed elsewhere": {
			map[string]string{"m.yaml": "registries:\n- {name: r.example/staging, src: true}\n- name: r.example/eu\nimages:\n- name: apple\n  dmap: {\"(a)\": [\"1.0\"]}\n---\n" +
				"registries:\n- {name: r.example/staging, src: true}\n- name: r.example/eu\n- name: r.example/prod\nimages:\n- name: apple\n  dmap: {\"(c)\": [\"1.0\"]}\n"},
			map[string]string{"m.yaml": "registries:\n- {name: r.example/staging, src: true}\n- name: r.example/eu\nimages:\n- name: apple\n  dmap: {\"(a)\": [\"1.0\"]}\n"},
			"m.yaml:11 error 1 destination (prod) removed, with 1 tag or digest in 1 repository, for example tag 1.0 of (c); the manifests had them at BASE\n",
		},
		"same name elsewhere": {plain(apple), plain("- name: fruit/apple\n  dmap:\n    \"(a)\": [\"1.0\", latest]\n    \"(b)\": []\n"),
			"m.yaml:8 error 1 image (apple) removed, with 3 tags or digests in 2 repositories, for example tag 1.0 of (a), tag latest of (a), (b); the manifests had them at BASE\n"},
		"several tags of one image": {plain(apple), plain("- name: apple\n  dmap:\n    \"(b)\": []\n"),
			"m.yaml:8 error 2 tags or digests of apple removed from eu/apple and prod/apple, for example tag 1.0 of (a), tag latest of (a); the manifests had them at BASE\n"},
		"all digests of an image replaced": {plain(apple), plain("- name: apple\n  dmap: {\"(c)\": [\"1.0\", latest]}\n"),
			"m.yaml:8 error 3 tags or digests of apple removed from eu/apple and prod/apple, for example tag 1.0 of (a), tag latest of (a), (b); the manifests had them at BASE\n"},
		"two images of a file": {plain(apple + "- name: fig\n  dmap: {\"(c)\": [\"1.0\"]}\n"), plain(""),
			"m.yaml:8 error 2 images (apple, fig) removed, with 4 tags or digests in 4 repositories, for example tag 1.0 of (a), tag latest of (a), (b), tag 1.0 of (c); the manifests had them at BASE\n"},
		"a bad entry in its place": {plain(apple), plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\", \"latest!\"]\n    \"(b)\": []\n"),
			"m.yaml:8 error tag latest of (a) was removed from eu/apple and prod/apple; the manifests had it at BASE\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := check.Removal{Base: set(t, tc.base), Rev: "BASE"}
			in := input(set(t, tc.head))
			if diff := cmp.Diff(tc.want, lines(check.Run(t.Context(), []check.Rule{rule}, in))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a manifest less", func(t *testing.T) {
		t.Parallel()
		base := thin(map[string]string{"one": apple, "two": ""})
		head := without(without(base, "manifests/one/promoter-manifest.yaml"), "images/one/images.yaml")
		found := check.Run(t.Context(), []check.Rule{check.Removal{Base: set(t, base), Rev: "BASE"}}, input(set(t, head)))
		if len(found) != 1 || found[0].Pos.File != "images/one/images.yaml" || len(found[0].Image.Destinations) != 2 || len(found[0].Places) != 3 {
			t.Errorf("got %s, want one finding in images/one/images.yaml with 2 destinations and 3 places", lines(found))
		}
	})
}

// TestRemovalRetags holds retag entries: without a pin they stand for whatever digest their source tag has.
func TestRemovalRetags(t *testing.T) {
	t.Parallel()
	entry := func(from, tag, pin string) string {
		if pin != "" {
			pin = ", digest: \"" + pin + "\""
		}
		return plain("- name: apple\n  retag:\n  - {src_build_tag: " + from + ", src_ref: x, tag: " + tag + pin + "}\n")["m.yaml"]
	}
	dmap := plain("- name: apple\n  dmap: {\"(a)\": [stx]}\n")["m.yaml"]
	tests := map[string]struct {
		base, head string
		gone       bool
	}{
		"same":                         {entry("build.0", "stx", ""), entry("build.0", "stx", ""), false},
		"another source tag":           {entry("build.0", "stx", ""), entry("build.1", "stx", ""), true},
		"another tag":                  {entry("build.0", "stx", ""), entry("build.0", "stx2", ""), true},
		"pinned since":                 {entry("build.0", "stx", ""), entry("build.0", "stx", "(a)"), false},
		"pin left out":                 {entry("build.0", "stx", "(a)"), entry("build.0", "stx", ""), false},
		"another pin":                  {entry("build.0", "stx", "(a)"), entry("build.0", "stx", "(b)"), true},
		"pin kept, another source tag": {entry("build.0", "stx", "(a)"), entry("build.1", "stx", "(a)"), false},
		"pinned, then in dmap":         {entry("build.0", "stx", "(a)"), dmap, false},
		"in dmap, then pinned":         {dmap, entry("build.0", "stx", "(a)"), false},
		"not pinned, then in dmap":     {entry("build.0", "stx", ""), dmap, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := check.Removal{Base: set(t, map[string]string{"m.yaml": tc.base}), Rev: "BASE"}
			found := check.Run(t.Context(), []check.Rule{rule}, input(set(t, map[string]string{"m.yaml": tc.head})))
			if (len(found) > 0) != tc.gone {
				t.Errorf("found %q, want a finding: %v", lines(found), tc.gone)
			}
		})
	}
}
