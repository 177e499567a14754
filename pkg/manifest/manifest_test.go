package manifest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"
)

// Digests of the tests.
const (
	a64 = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	b64 = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	a63 = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// twoRegistries has three lines, so that images: of a test is on line 4.
const twoRegistries = "registries:\n- {name: s.io/p, src: true}\n- name: d.io/q\n"

// expand replaces $A and $B with digests, and $C with a bad one.
func expand(text string) string {
	return strings.NewReplacer("$A", a64, "$B", b64, "$C", a63).Replace(text)
}

// plain reads text as the plain manifest m.yaml.
func plain(text string) *Set {
	fsys := fstest.MapFS{"m.yaml": &fstest.MapFile{Data: []byte(expand(text))}}
	return Plain(fsys, "m.yaml", "")
}

// faults returns the faults of set as text, each with its severity.
func faults(set *Set) []string {
	words := map[Severity]string{Warning: "warning", Refused: "refused", Broken: "broken"}
	var all []string
	for _, f := range set.Faults {
		all = append(all, words[f.Severity]+" "+f.String())
	}
	return all
}

// equal reports how got differs from want.
func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(name.Repository{}, image.Registry{}), cmpopts.IgnoreUnexported(Set{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// wanted returns the images of m as text: "name digest-letter tag,tag" and "name from>to@pin".
func wanted(m *Manifest) []string {
	var all []string
	for _, im := range m.Images {
		line := im.Name
		for _, d := range im.Digests {
			var tags []string
			for _, tag := range d.Tags {
				tags = append(tags, tag.Name)
			}
			line += " " + d.Digest.Hex[:1] + "=" + strings.Join(tags, ",")
		}
		for _, r := range im.Retags {
			line += " " + r.SourceTag + ">" + r.Tag
			if r.Digest != (v1.Hash{}) {
				line += "@" + r.Digest.Hex[:1]
			}
		}
		all = append(all, line)
	}
	return all
}

// ruleTest is a text and what is wrong with it.
type ruleTest struct {
	name string
	in   string
	want []string
}

// rules runs the tests of plain manifests.
func rules(t *testing.T, tests []ruleTest) {
	t.Helper()
	t.Parallel()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, w := range tt.want {
				want = append(want, expand(w))
			}
			equal(t, faults(plain(tt.in)), want)
		})
	}
}

func TestPlainReadsEverything(t *testing.T) {
	t.Parallel()
	set := plain(`registries:
- name: S.io/p/
  src: true
  service-account: a@b.c
  mirrors: [m.io/p, n.io, m.io/p]
- name: d.io/q
  mutable-tags: [latest, "v*", latest]
  absent-status: [403, 410]
images:
- name: x/apple
  dmap:
    "$A": ["1.0", latest]
    $B: []
- name: pear
  retag:
  - {src_build_tag: s1, src_ref: 7, tag: 1.10, digest: $B}
`)
	equal(t, set, &Set{
		Manifests: []*Manifest{{
			File: "m.yaml",
			Source: &Registry{
				Name:           image.NewRegistry("s.io", "p"),
				ServiceAccount: "a@b.c",
				Mirrors:        []image.Registry{image.NewRegistry("m.io", "p"), image.NewRegistry("n.io", "")},
				Pos:            Pos{File: "m.yaml", Line: 2, Column: 3},
			},
			Destinations: []*Registry{{
				Name:         image.NewRegistry("d.io", "q"),
				MutableTags:  []string{"latest", "v*"},
				AbsentStatus: []int{403, 410},
				Pos:          Pos{File: "m.yaml", Line: 6, Column: 3},
			}},
			Images: []Image{{
				Name: "x/apple",
				Digests: []Digest{
					{Digest: image.Hash(a64), Tags: []Tag{{"1.0", Pos{File: "m.yaml", Line: 12, Column: 81}}, {"latest", Pos{File: "m.yaml", Line: 12, Column: 88}}}, Pos: Pos{File: "m.yaml", Line: 12, Column: 5}},
					{Digest: image.Hash(b64), Pos: Pos{File: "m.yaml", Line: 13, Column: 5}},
				},
				Pos: Pos{File: "m.yaml", Line: 10, Column: 3},
			}, {
				Name:   "pear",
				Retags: []Retag{{SourceTag: "s1", SourceRef: "7", Tag: "1.10", Digest: image.Hash(b64), Pos: Pos{File: "m.yaml", Line: 16, Column: 5}}},
				Pos:    Pos{File: "m.yaml", Line: 14, Column: 3},
			}},
		}},
		Digest: set.Digest,
	})
	if !set.OK() || set.Broken() {
		t.Errorf("got OK %t and broken %t, want true and false", set.OK(), set.Broken())
	}
}

func TestSeveralFaultsInOneRun(t *testing.T) {
	t.Parallel()
	set := plain(`registries:
- {name: s.io, src: true, colour: red}
- name: d
images:
- dmap: {"$A": [1.0]}
- name: pear
  dmap:
    $C: [a]
    $A: [-x, ok, "é"]
    $A: []
  dmap: null
- name: Plum
  dmap: {"$A": [v1]}
`)
	want := []string{
		`broken m.yaml:2:27: a registries entry: unknown key "colour"`,
		`broken m.yaml:3:9: bad registry name "d": "d" is not a registry host: it has neither '.' nor ':'`,
		`broken m.yaml:5:3: an images entry without name`,
		`refused m.yaml:8:5: bad digest "$C": want sha256: and 64 lower-case hexadecimal digits`,
		`refused m.yaml:9:79: bad tag "-x": want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'`,
		`refused m.yaml:9:87: bad tag "é": want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'`,
		`broken m.yaml:10:5: duplicate key "$A": the first is on line 9`,
		`broken m.yaml:11:3: duplicate key "dmap": the first is on line 7`,
		`refused m.yaml:12:9: bad repository name "Plum": want lower-case letters and digits, joined by '.', '_', '__', '-' or '/'`,
	}
	for i := range want {
		want[i] = expand(want[i])
	}
	equal(t, faults(set), want)
	if set.OK() || !set.Broken() {
		t.Errorf("got OK %t and broken %t, want false and true", set.OK(), set.Broken())
	}
	if len(set.Manifests) != 0 {
		t.Errorf("got %d manifests, want none without a destination", len(set.Manifests))
	}
}

func TestDigestDependsOnFiles(t *testing.T) {
	t.Parallel()
	file := func(name, text string) string {
		return Plain(fstest.MapFS{name: {Data: []byte(text)}}, name, "elsewhere").Digest
	}
	first := file("m.yaml", twoRegistries)
	if !strings.HasPrefix(first, "sha256:") || len(first) != len(a64) {
		t.Errorf("got digest %q, want sha256: and 64 digits", first)
	}
	if first != file("m.yaml", twoRegistries) {
		t.Errorf("got another digest of the same file, want %s again", first)
	}
	if first == file("n.yaml", twoRegistries) || first == file("m.yaml", twoRegistries+"\n") {
		t.Errorf("got %s for two different files, want two digests", first)
	}
}
