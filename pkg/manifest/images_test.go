package manifest

import (
	"strings"
	"testing"
)

const badTag = `: want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'`

func TestImageRules(t *testing.T) {
	rules(t, []ruleTest{
		{"no name", twoRegistries + "images:\n- dmap: {$A: []}\n", []string{`broken m.yaml:5:3: an images entry without name`}},
		{"empty name", twoRegistries + "images:\n- {name: '', dmap: {$A: []}}\n", []string{`broken m.yaml:5:4: an images entry without name: it is empty`}},
		{"null name", twoRegistries + "images:\n- {name: ~, dmap: {$A: []}}\n", []string{`broken m.yaml:5:4: an images entry without name: it is empty`}},
		{"name of a wrong type", twoRegistries + "images:\n- {name: [a], dmap: {$A: []}}\n", []string{`broken m.yaml:5:10: name: want text, found a list`}},
		{"a misspelled dmap", twoRegistries + "images:\n- name: a\n  dmpa: {}\n", []string{`broken m.yaml:6:3: an images entry: unknown key "dmpa": did you mean "dmap"?`}},
		{"a key that is not text", twoRegistries + "images:\n- {name: a, dmap: {[x]: []}}\n", []string{`broken m.yaml:5:20: a key: want text, found a list`}},
		{"neither dmap nor retag", twoRegistries + "images:\n- name: a\n", []string{`broken m.yaml:5:3: an images entry with neither dmap nor retag`}},
		{"null entry", twoRegistries + "images:\n- \n- {name: a, dmap: {$A: []}}\n", []string{`broken m.yaml:5:2: an images entry: want a mapping, found null`}},
		{"unknown keys", twoRegistries + "images:\n- {name: a, dmaps: {}, tags: [], retag: [{src_build_tag: x, tag: y}]}\n", []string{
			`broken m.yaml:5:13: an images entry: unknown key "dmaps": did you mean "dmap"?`,
			`broken m.yaml:5:24: an images entry: unknown key "tags"`,
		}},
		{"null dmap is a warning", twoRegistries + "images:\n- name: a\n  dmap:\n", []string{`warning m.yaml:6:3: dmap is empty: nothing is promoted`}},
		{"empty dmap is a warning", twoRegistries + "images:\n- {name: a, dmap: {}}\n", []string{`warning m.yaml:5:13: dmap is empty: nothing is promoted`}},
		{"empty retag is a warning", twoRegistries + "images:\n- {name: a, retag: []}\n", []string{`warning m.yaml:5:13: retag is empty: nothing is promoted`}},
		{"dmap of a wrong type", twoRegistries + "images:\n- {name: a, dmap: [$A]}\n", []string{`broken m.yaml:5:19: dmap: want a mapping, found a list`}},
		{"retag of a wrong type", twoRegistries + "images:\n- {name: a, retag: {tag: x}}\n", []string{`broken m.yaml:5:20: retag: want a list, found a mapping`}},
		{"one tag instead of a list", twoRegistries + "images:\n- name: a\n  dmap:\n    $A: \"1.0\"\n", []string{`broken m.yaml:7:78: the tags of a digest: want a list, found quoted text "1.0"`}},
		{"mapping instead of tags", twoRegistries + "images:\n- name: a\n  dmap:\n    $A: {x: y}\n", []string{`broken m.yaml:7:78: the tags of a digest: want a list, found a mapping`}},
		{"list among the tags", twoRegistries + "images:\n- name: a\n  dmap:\n    $A: [[x], y]\n", []string{`broken m.yaml:7:79: a tag: want text, found a list`}},
		{"repeated digest", twoRegistries + "images:\n- name: a\n  dmap:\n    $A: [x]\n    '$A': [y]\n", []string{`broken m.yaml:8:5: duplicate key "$A": the first is on line 7`}},
		{"bad digests", twoRegistries + "images:\n- name: a\n  dmap:\n    sha256:ABC: [x]\n    ~: []\n    sha512:ab: [~]\n", []string{
			`refused m.yaml:7:5: bad digest "sha256:ABC": want sha256: and 64 lower-case hexadecimal digits`,
			`refused m.yaml:8:5: bad digest "~": want sha256: and 64 lower-case hexadecimal digits`,
			`refused m.yaml:9:5: bad digest "sha512:ab": want sha256: and 64 lower-case hexadecimal digits`,
			`refused m.yaml:9:17: tag is null: write it in quotes`,
		}},
		{"null tags", twoRegistries + "images:\n- name: a\n  dmap:\n    $A: [~, null, 'null']\n", []string{
			`refused m.yaml:7:79: tag is null: write it in quotes`,
			`refused m.yaml:7:82: tag is null: write it in quotes`,
		}},
		{"long foreign text is cut", twoRegistries + "images: []\n" + strings.Repeat("k", 200) + ": 1\n", []string{
			`broken m.yaml:5:1: a manifest: unknown key "` + strings.Repeat("k", 140) + `…"`,
		}},
		{"foreign text is quoted", twoRegistries + "\"a\\e[0m\": 1\n", []string{`broken m.yaml:4:1: a manifest: unknown key "a\x1b[0m"`}},
	})
}

func TestImagesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []string
	}{
		{"unquoted tags keep their text", "- {name: a, dmap: {$A: [1.10, 007, 0x10, true, yes, 1e3, 2021-01-01, 1_0]}}", []string{"a a=1.10,007,0x10,true,yes,1e3,2021-01-01,1_0"}},
		{"quoted digest", "- {name: a, dmap: {\"$A\": [x]}}", []string{"a a=x"}},
		{"block list", "- name: a\n  dmap:\n    $A:\n    - x\n    - y", []string{"a a=x,y"}},
		{"null list is tagless", "- name: a\n  dmap:\n    $A:", []string{"a a="}},
		{"a tag twice is one", "- {name: a, dmap: {$A: [x, y, x, 'y']}}", []string{"a a=x,y"}},
		{"a tag twice in a long list is one", "- {name: a, dmap: {$A: [x, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, x]}}", []string{"a a=x,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"}},
		{"a name twice is two images", "- {name: a, dmap: {$A: [x]}}\n- {name: a, dmap: {$B: [y]}}", []string{"a a=x", "a b=y"}},
		{"dmap and retag together", "- {name: a, dmap: {$A: [x]}, retag: [{src_build_tag: s, tag: t}]}", []string{"a a=x s>t"}},
		{"number as a name", "- {name: 7, dmap: {$A: [x]}}", []string{"7 a=x"}},
		{"alias of a list", "- {name: a, dmap: {$A: &x [x, y]}}\n- {name: b, dmap: {$B: *x}}", []string{"a a=x,y", "b b=x,y"}},
		{"alias of a key", "- {name: a, dmap: {&d $A: [x]}}\n- {name: b, dmap: {*d : [y]}}", []string{"a a=x", "b a=y"}},
		{"merge key", "- {name: a, dmap: &m {$A: [x]}}\n- {name: b, dmap: {<<: *m, $B: [y]}}", []string{"a a=x", "b b=y a=x"}},
		{"own keys beat merged ones", "- {name: a, dmap: &m {$A: [x]}}\n- {name: b, dmap: {<<: *m, $A: [y]}}", []string{"a a=x", "b a=y"}},
		{"the first of merged lists wins", "- &m {name: a, dmap: {$A: [x]}}\n- &n {name: b, dmap: {$B: [y]}}\n- {<<: [*m, *n], name: c}", []string{"a a=x", "b b=y", "c a=x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := plain(twoRegistries + "images:\n" + tt.in + "\n")
			equal(t, faults(set), []string(nil))
			equal(t, wanted(set.Manifests[0]), tt.want)
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		images   []string
		refused  []Refusal // without their faults
		faults   int
	}{
		{
			"a bad digest refuses its key", "- {name: a, dmap: {$C: [x, y, x], $B: [z]}}",
			[]string{"a b=z"}, []Refusal{{Name: "a", Digest: a63, Tags: []string{"x", "y"}}}, 1,
		},
		{
			"a bad tagless digest", "- {name: a, dmap: {$C: }}",
			[]string{"a"}, []Refusal{{Name: "a", Digest: a63}}, 1,
		},
		{
			"a bad digest with a bad tag is one refusal", "- {name: a, dmap: {$C: [-x]}}",
			[]string{"a"}, []Refusal{{Name: "a", Digest: a63, Tags: []string{"-x"}}}, 2,
		},
		{
			"a bad tag refuses itself", "- {name: a, dmap: {$A: [x, -y, z, .q]}}",
			[]string{"a a=x,z"},
			[]Refusal{{Name: "a", Digest: a64, Tags: []string{"-y"}}, {Name: "a", Digest: a64, Tags: []string{".q"}}}, 2,
		},
		{
			"a digest without a good tag is not promoted tagless", "- {name: a, dmap: {$A: [-y, ~], $B: []}}",
			[]string{"a b="},
			[]Refusal{{Name: "a", Digest: a64, Tags: []string{"-y"}}, {Name: "a", Digest: a64, Tags: []string{"~"}}}, 2,
		},
		{
			"a bad name refuses its entry", "- {name: A, dmap: {$A: [x, -y], $C: []}, retag: [{src_build_tag: s, tag: t, digest: $B}]}",
			nil,
			[]Refusal{
				{Name: "A", Digest: a64, Tags: []string{"x", "-y"}},
				{Name: "A", Digest: a63},
				{Name: "A", Digest: b64, SourceTag: "s", Tags: []string{"t"}},
			}, 3,
		},
		{
			"a name that gets too long", "- {name: " + strings.Repeat("a", 250) + ", dmap: {$A: []}}",
			nil, []Refusal{{Name: strings.Repeat("a", 250), Digest: a64}}, 1,
		},
		{
			"bad retag entries", "- {name: a, retag: [{src_build_tag: -s, tag: -t}, {src_build_tag: s, tag: t, digest: ''}, {src_build_tag: s, tag: t, digest: }]}",
			[]string{"a s>t"},
			[]Refusal{{Name: "a", SourceTag: "-s", Tags: []string{"-t"}}, {Name: "a", SourceTag: "s", Tags: []string{"t"}}}, 3,
		},
		{
			"an entry without a name refuses nothing", "- {dmap: {$C: [x]}}", nil, nil, 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := plain(twoRegistries + "images:\n" + tt.in + "\n")
			m := set.Manifests[0]
			var refused []Refusal
			for _, r := range m.Refused {
				if r.Fault.Severity != Refused || r.Fault.Pos.Line == 0 {
					t.Errorf("got a refusal with the fault %v, want severity %v and a line", r.Fault, Refused)
				}
				r.Fault = Fault{}
				refused = append(refused, r)
			}
			equal(t, refused, tt.refused)
			equal(t, wanted(m), tt.images)
			equal(t, len(set.Faults), tt.faults)
		})
	}
}

func TestRefusalNamesTheFaultThatRefusesIt(t *testing.T) {
	t.Parallel()
	m := plain(twoRegistries + "images:\n- name: A\n  dmap:\n    $C: [-x]\n- name: b\n  dmap:\n    $C: [-x]\n    $A: [-y]\n").Manifests[0]
	var got []string
	for _, r := range m.Refused {
		got = append(got, r.Fault.Pos.String())
	}
	equal(t, got, []string{"m.yaml:5:9", "m.yaml:10:5", "m.yaml:11:79"})
}
