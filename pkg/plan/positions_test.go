package plan_test

import (
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Every item names the positions in the manifests that want it.
func TestWantedBy(t *testing.T) {
	t.Parallel()
	const two = "registries: [{name: s.example/s, src: true}, {name: d.example/p}, {name: d.example/q}]\n"
	thin := func(display string, images ...string) *manifest.Set {
		files := fstest.MapFS{}
		for i, text := range images {
			d := string(rune('a' + i))
			files["manifests/"+d+"/promoter-manifest.yaml"] = &fstest.MapFile{Data: []byte(registries)}
			files["images/"+d+"/images.yaml"] = &fstest.MapFile{Data: []byte(strings.NewReplacer("$A", dA, "$B", dB).Replace(text))}
		}
		return manifest.Thin(files, display)
	}
	plain := func(text string) *manifest.Set { return load(t, strings.NewReplacer("$A", dA, "$B", dB).Replace(text)) }
	for name, tc := range map[string]struct {
		set  *manifest.Set
		want []string
	}{
		"a tag and a digest": {plain(two + "images:\n- name: x\n  dmap:\n    $A: ['1']\n    $B: []\n"), []string{
			"d.example/p/x copy a 1: m.yaml:5:79", "d.example/p/x copy b: m.yaml:6:5",
			"d.example/q/x copy a 1: m.yaml:5:79", "d.example/q/x copy b: m.yaml:6:5",
		}},
		"tags of one item":            {plain(registries + "images:\n- name: x\n  dmap:\n    $A:\n    - '2'\n    - '1'\n"), []string{"d.example/p/x copy a 1,2: m.yaml:6:7 m.yaml:7:7"}},
		"an image in two entries":     {plain(registries + "images:\n- name: x\n  dmap:\n    $A: ['1']\n- name: x\n  dmap:\n    $A: ['1']\n"), []string{"d.example/p/x copy a 1: m.yaml:5:79 m.yaml:8:79"}},
		"with and without a tag":      {plain(registries + "images:\n- name: x\n  dmap:\n    $A: ['1']\n- name: x\n  dmap:\n    $A: []\n"), []string{"d.example/p/x copy a 1: m.yaml:5:79"}},
		"two thin manifests":          {thin("", "- name: x\n  dmap:\n    $A: ['1']\n", "- name: x\n  dmap:\n    $A: ['1']\n"), []string{"d.example/p/x copy a 1: images/a/images.yaml:3:79 images/b/images.yaml:3:79"}},
		"relative to a directory":     {thin("./some/dir/", "- name: x\n  dmap:\n    $A: ['1']\n"), []string{"d.example/p/x copy a 1: images/a/images.yaml:3:79"}},
		"relative to the root":        {thin("/", "- name: x\n  dmap:\n    $A: ['1']\n"), []string{"d.example/p/x copy a 1: images/a/images.yaml:3:79"}},
		"a retag entry":               {plain(registries + "images:\n- name: x\n  retag:\n  - {src_build_tag: b, tag: '1'}\n"), []string{"d.example/p/x unknown  1: m.yaml:5:5"}},
		"a retag entry with a pin":    {plain(registries + "images:\n- name: x\n  retag:\n  - {src_build_tag: b, tag: '1', digest: $A}\n"), []string{"d.example/p/x invalid a 1: m.yaml:5:5"}},
		"a native entry":              {plain("images:\n- {name: r.example/x, src_build_tag: b, tag: '1'}\n"), []string{"r.example/x unknown  1: m.yaml:2:3"}},
		"a bad digest":                {plain(registries + "images:\n- name: x\n  dmap:\n    sha256:1: ['1', '2']\n"), []string{"d.example/p/x invalid 1 1,2: m.yaml:5:5"}},
		"a bad tag":                   {plain(registries + "images:\n- name: x\n  dmap:\n    $A: ['1', 'a b']\n"), []string{"d.example/p/x copy a 1: m.yaml:5:79", "d.example/p/x invalid a a b: m.yaml:5:84"}},
		"an overlap":                  {plain(registries + "images:\n- name: x\n  dmap:\n    $A: ['1']\n    $B: ['1']\n"), []string{"d.example/p/x invalid a 1: m.yaml:5:79", "d.example/p/x invalid b 1: m.yaml:6:79"}},
		"an overlap of retag entries": {plain(registries + "images:\n- name: x\n  retag:\n  - {src_build_tag: b, tag: '1'}\n  - {src_build_tag: c, tag: '1'}\n"), []string{"d.example/p/x invalid  1: m.yaml:5:5 m.yaml:6:5"}},
		"a bad name below a registry": {plain("registries: [{name: s.example, src: true}, {name: d.example/" + strings.Repeat("p", 200) + "}]\nimages:\n- name: " + strings.Repeat("x", 100) + "\n  dmap:\n    $A: ['1']\n"), []string{"invalid a 1: m.yaml:3:9"}},
		"more than ten, which is enough": {plain(registries + "images:\n" + strings.Repeat("- {name: x, dmap: {$A: ['1']}}\n", 12)), []string{
			"d.example/p/x copy a 1: m.yaml:3:94 m.yaml:4:94 m.yaml:5:94 m.yaml:6:94 m.yaml:7:94 m.yaml:8:94 m.yaml:9:94 m.yaml:10:94 m.yaml:11:94 m.yaml:12:94",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wanted := plan.Desired(tc.set, map[plan.SourceTag]plan.Resolution{})
			p := &plan.Plan{Items: wanted.Invalid}
			for _, target := range wanted.Targets {
				have := &inventory.Repository{}
				have.Close()
				found := plan.Found{Digests: map[v1.Hash]plan.Finding{}, Pins: map[plan.SourceTag]plan.Resolution{}}
				lack := plan.Lacking(target, have)
				for _, e := range lack.Entries {
					found.Digests[e.Digest] = plan.Finding{State: inventory.Present, From: e.Sources[0].Repository}
				}
				for _, pin := range lack.Pins {
					found.Pins[pin] = plan.Resolution{State: inventory.Absent}
				}
				items, _ := plan.Compute(target, have, found)
				p.Items = append(p.Items, items...)
			}
			p.Sort()
			var got []string
			for _, it := range p.Report(true, wanted).Items {
				line := strings.TrimSpace(it.Action + " " + strings.TrimLeft(strings.TrimPrefix(it.Digest, "sha256:"), "0") + " " + strings.Join(it.Tags, ","))
				if len(it.Destination) < 100 {
					line = it.Destination + " " + line
				}
				got = append(got, line+": "+strings.Join(it.WantedBy, " "))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
