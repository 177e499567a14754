package manifest

import (
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestRetagRules(t *testing.T) {
	head := twoRegistries + "images:\n- name: a\n  retag:\n"
	rules(t, []ruleTest{
		{"no src_build_tag", head + "  - tag: t\n", []string{`broken m.yaml:7:5: a retag entry without src_build_tag`}},
		{"empty src_build_tag", head + "  - {src_build_tag: '', tag: t}\n", []string{`broken m.yaml:7:6: a retag entry without src_build_tag: it is empty`}},
		{"no tag", head + "  - src_build_tag: s\n", []string{`broken m.yaml:7:5: a retag entry without tag`}},
		{"null tag", head + "  - {src_build_tag: s, tag: }\n", []string{`broken m.yaml:7:24: a retag entry without tag: it is empty`}},
		{"unknown key", head + "  - {src_build_tag: s, tag: t, name: a}\n", []string{`broken m.yaml:7:32: a retag entry: unknown key "name"`}},
		{"misspelt key", head + "  - {src-build-tag: s, tag: t}\n", []string{
			`broken m.yaml:7:5: a retag entry without src_build_tag`,
			`broken m.yaml:7:6: a retag entry: unknown key "src-build-tag": did you mean "src_build_tag"?`,
		}},
		{"entry of a wrong type", head + "  - s\n", []string{`broken m.yaml:7:5: a retag entry: want a mapping, found the value "s"`}},
		{"values of a wrong type", head + "  - {src_build_tag: [s], tag: {}, src_ref: [x], digest: []}\n", []string{
			`broken m.yaml:7:21: src_build_tag: want text, found a list`,
			`broken m.yaml:7:31: tag: want text, found a mapping`,
			`broken m.yaml:7:44: src_ref: want text, found a list`,
			`broken m.yaml:7:57: digest: want text, found a list`,
		}},
		{"bad values", head + "  - {src_build_tag: -s, tag: 'a b', digest: $C}\n", []string{
			`refused m.yaml:7:21: src_build_tag: bad tag "-s"` + badTag,
			`refused m.yaml:7:30: tag: bad tag "a b"` + badTag,
			`refused m.yaml:7:45: digest: bad digest "$C": want sha256: and 64 lower-case hexadecimal digits`,
		}},
	})
}

func TestNativeFile(t *testing.T) {
	t.Parallel()
	set := plain(`---
images:
- name: docker.io/starlingx/dex
  src_build_tag: b1
  src_ref: https://example.com/1
  tag: v1
- {name: busybox.io/b, src_build_tag: b2, tag: 1.10, digest: $A}
---
images: [{name: docker.io/dex, src_build_tag: b3, tag: v3}]
`)
	equal(t, set, &Set{
		Manifests: []*Manifest{{
			File: "m.yaml", Native: true,
			Images: []Image{{
				Name:       "docker.io/starlingx/dex",
				Repository: image.NewRepository("docker.io", "starlingx/dex"),
				Retags:     []Retag{{SourceTag: "b1", SourceRef: "https://example.com/1", Tag: "v1", Pos: Pos{File: "m.yaml", Line: 3, Column: 3}}},
				Pos:        Pos{File: "m.yaml", Line: 3, Column: 3},
			}, {
				Name:       "busybox.io/b",
				Repository: image.NewRepository("busybox.io", "b"),
				Retags:     []Retag{{SourceTag: "b2", Tag: "1.10", Digest: image.Hash(a64), Pos: Pos{File: "m.yaml", Line: 7, Column: 3}}},
				Pos:        Pos{File: "m.yaml", Line: 7, Column: 3},
			}},
		}, {
			File: "m.yaml", Document: 1, Native: true,
			Images: []Image{{
				Name:       "docker.io/dex",
				Repository: image.NewRepository("docker.io", "library/dex"),
				Retags:     []Retag{{SourceTag: "b3", Tag: "v3", Pos: Pos{File: "m.yaml", Line: 9, Column: 10}}},
				Pos:        Pos{File: "m.yaml", Line: 9, Column: 10},
			}},
		}},
		Digest: set.Digest,
	})
}

func TestNativeRules(t *testing.T) {
	const lacks = "an entry without src_build_tag in a file without registries: " +
		"a manifest needs registries, a native StarlingX file needs src_build_tag in every entry"
	rules(t, []ruleTest{
		{"no name", "images:\n- {src_build_tag: s, tag: t}\n", []string{`broken m.yaml:2:3: an entry of a native file without name`}},
		{"no tag", "images:\n- {src_build_tag: s, name: d.io/a}\n", []string{`broken m.yaml:2:3: an entry of a native file without tag`}},
		{"empty src_build_tag", "images:\n- {src_build_tag: , name: d.io/a, tag: t}\n", []string{`broken m.yaml:2:4: an entry of a native file without src_build_tag: it is empty`}},
		{"unknown key", "images:\n- {src_build_tag: s, name: d.io/a, tag: t, dmap: {}}\n", []string{`broken m.yaml:2:44: an entry of a native file: unknown key "dmap"`}},
		{"short name", "images:\n- {src_build_tag: s, name: a/b, tag: t}\n", []string{`refused m.yaml:2:28: bad registry name "a": "a" is not a registry host: it has neither '.' nor ':'`}},
		{"no path", "images:\n- {src_build_tag: s, name: d.io, tag: t}\n", []string{`refused m.yaml:2:28: bad repository "d.io": want host/path`}},
		{"name with a tag", "images:\n- {src_build_tag: s, name: 'd.io/a:b', tag: t}\n", []string{
			`refused m.yaml:2:28: bad repository name "a:b": want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'`,
		}},
		{"bad tags", "images:\n- {src_build_tag: -s, name: d.io/a, tag: -t}\n", []string{
			`refused m.yaml:2:19: src_build_tag: bad tag "-s"` + badTag,
			`refused m.yaml:2:42: tag: bad tag "-t"` + badTag,
		}},
		{"only some entries have src_build_tag", "images:\n- {src_build_tag: s, name: d.io/a, tag: t}\n- {name: a, dmap: {$A: []}}\n- x\n", []string{
			"broken m.yaml:3:3: " + lacks, "broken m.yaml:4:3: " + lacks,
		}},
		{"no entry carries src_build_tag", "images:\n- {name: a, dmap: {$A: []}}\n", []string{
			`broken m.yaml:1:1: no registries: want one with src: true and one destination or more`,
		}},
		{"src_build_tag by a merge key", "images:\n- &a {src_build_tag: s, name: d.io/a, tag: t}\n- {<<: *a, name: d.io/b}\n", nil},
		{"src_build_tag with registries", twoRegistries + "images:\n- {src_build_tag: s, name: a, tag: t}\n", []string{
			`broken m.yaml:5:3: an images entry with neither dmap nor retag`,
			`broken m.yaml:5:4: an images entry: unknown key "src_build_tag"`,
			`broken m.yaml:5:31: an images entry: unknown key "tag"`,
		}},
	})
}

func TestNativeRefusals(t *testing.T) {
	t.Parallel()
	m := plain("images:\n- {name: a, src_build_tag: s, tag: -t, digest: $C}\n- {name: d.io/b, src_build_tag: s, tag: -t}\n").Manifests[0]
	if len(m.Images) != 0 {
		t.Errorf("%d images, want none", len(m.Images))
	}
	if !strings.Contains(m.Refused[0].Fault.Message, "bad repository") {
		t.Errorf("refused for %q, want the name", m.Refused[0].Fault.Message)
	}
	for i := range m.Refused {
		m.Refused[i].Fault = Fault{}
	}
	equal(t, m.Refused, []Refusal{
		{Name: "a", Digest: a63, SourceTag: "s", Tags: []string{"-t"}},
		{Name: "d.io/b", SourceTag: "s", Tags: []string{"-t"}},
	})
}

func TestNative(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file string
		want []string
	}{
		"fine":           {"images: [{name: d.io/a, src_build_tag: s, tag: t}]\n---\nimages: []\n", nil},
		"no tag at all":  {"images:\n- name: d.io/a\n", []string{"broken n.yaml:2:3: an entry of a native file without src_build_tag", "broken n.yaml:2:3: an entry of a native file without tag"}},
		"a manifest":     {"images: []\nregistries: []\n", []string{"broken n.yaml:2:1: registries: this is a plain manifest, which cip run promotes; a native StarlingX file has only images, each with its full name"}},
		"no images":      {"{}\n", []string{"broken n.yaml:1:1: a native file without images"}},
		"another key":    {"image: []\n", []string{`broken n.yaml:1:1: a native file without images`, `broken n.yaml:1:1: a native file: unknown key "image": did you mean "images"?`}},
		"a list":         {"- name: a\n", []string{"broken n.yaml:1:1: a native file: want a mapping, found a list"}},
		"an entry alone": {"images: [a]\n", []string{`broken n.yaml:1:10: an entry of a native file: want a mapping, found the value "a"`}},
		"empty":          {"# none\n", []string{"broken n.yaml: no images: the file is empty"}},
		"bad YAML":       {"images: [\n", []string{"broken n.yaml:1:1: bad YAML: did not find expected node content"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := Native(fstest.MapFS{"f": {Data: []byte(tc.file)}}, "f", "n.yaml")
			equal(t, faults(set), tc.want)
			if joined := Join(set, set); len(joined.Manifests) != 2*len(set.Manifests) || len(joined.Faults) != 2*len(set.Faults) || joined.Digest == set.Digest {
				t.Errorf("joined with itself: got %+v, want %d manifests, %d faults and another digest", joined, 2*len(set.Manifests), 2*len(set.Faults))
			}
		})
	}
}
