package manifest

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

func TestRegistriesRules(t *testing.T) {
	const (
		noSource = "no source: want one registry with src: true"
		noDest   = "no destination: want one registry or more without src"
	)
	src := "registries:\n- {name: s.io, src: true}\n"
	rules(t, []ruleTest{
		{"no registries", "images: []\n", []string{`broken m.yaml:1:1: no registries: want one with src: true and one destination or more`}},
		{"null registries", "registries:\n", []string{`broken m.yaml:1:1: registries is empty: want one with src: true and one destination or more`}},
		{"empty registries", "# c\nregistries: []\n", []string{`broken m.yaml:2:1: registries is empty: want one with src: true and one destination or more`}},
		{"registries of a wrong type", "registries: {a: b}\n", []string{`broken m.yaml:1:13: registries: want a list, found a mapping`}},
		{"entry of a wrong type", src + "- d.io\n- {name: e.io}\n", []string{`broken m.yaml:3:3: a registries entry: want a mapping, found the value "d.io"`}},
		{"no source", "registries:\n- {name: d.io}\n", []string{`broken m.yaml:1:1: ` + noSource}},
		{"src false is not a source", "registries:\n- {name: d.io, src: No}\n", []string{`broken m.yaml:1:1: ` + noSource}},
		{"two sources", src + "- name: d.io\n- name: t.io\n  src: true\n", []string{`broken m.yaml:5:3: a second source: the first is on line 2`}},
		{"no destination", src, []string{`broken m.yaml:1:1: ` + noDest}},
		{"no name", src + "- service-account: x@y\n", []string{`broken m.yaml:3:3: a registries entry without name`}},
		{"empty name", src + "- name: ''\n", []string{`broken m.yaml:3:3: a registries entry without name: it is empty`}},
		{"null name", src + "- name:\n", []string{`broken m.yaml:3:3: a registries entry without name: it is empty`}},
		{"bad name", src + "- name: https://d.io\n", []string{`broken m.yaml:3:9: bad registry name "https://d.io": write it without https://`}},
		{"name of a wrong type", src + "- name: [d.io]\n", []string{`broken m.yaml:3:9: name: want text, found a list`}},
		{"token is unknown", src + "- {name: d.io, token: x}\n", []string{`broken m.yaml:3:16: a registries entry: unknown key "token"`}},
		{"misspelt key", src + "- {nmae: d.io}\n", []string{
			`broken m.yaml:3:3: a registries entry without name`,
			`broken m.yaml:3:4: a registries entry: unknown key "nmae": did you mean "name"?`,
		}},
		{"src is not a boolean", "registries:\n- {name: s.io, src: maybe}\n- {name: d.io}\n", []string{
			`broken m.yaml:1:1: ` + noSource,
			`broken m.yaml:2:21: src: want true or false, found the value "maybe"`,
		}},
		{"quoted src is not a boolean", "registries:\n- {name: s.io, src: 'true'}\n- {name: d.io}\n", []string{
			`broken m.yaml:1:1: ` + noSource,
			`broken m.yaml:2:21: src: want true or false, found quoted text "true"`,
		}},
		{"mirrors on a destination", src + "- name: d.io\n  mirrors: [m.io]\n", []string{`broken m.yaml:4:3: mirrors on a destination: mirrors belong to the source`}},
		{"bad mirrors", "registries:\n- {name: s.io, src: true, mirrors: [m, ~, [x]]}\n- {name: d.io}\n", []string{
			`broken m.yaml:2:37: mirrors: bad registry name "m": "m" is not a registry host: it has neither '.' nor ':'`,
			`broken m.yaml:2:40: an item of mirrors: want text or number, found null`,
			`broken m.yaml:2:43: an item of mirrors: want text or number, found a list`,
		}},
		{"mirrors of a wrong type", "registries:\n- {name: s.io, src: true, mirrors: m.io}\n- {name: d.io}\n", []string{
			`broken m.yaml:2:36: mirrors: want a list, found the value "m.io"`,
		}},
		{"malformed mutable-tags", src + "- {name: d.io, mutable-tags: ['[a', v*, '', 1.10]}\n", []string{
			`broken m.yaml:3:31: mutable-tags: malformed pattern "[a"`,
			`broken m.yaml:3:41: mutable-tags: empty pattern`,
		}},
		{"keys about evidence", src + "- {name: d.io, public-name: p.io/x, attestations: true, referrers: accepted}\n", nil},
		{"keys about evidence on the source", "registries:\n- {name: s.io, src: true, public-name: p.io, attestations: false, referrers: all}\n- {name: d.io}\n", []string{
			`broken m.yaml:2:27: public-name on the source: it is for destinations only`,
			`broken m.yaml:2:46: attestations on the source: it is for destinations only`,
			`broken m.yaml:2:67: referrers on the source: it is for destinations only`,
		}},
		{"bad keys about evidence", src + "- {name: d.io, public-name: p, attestations: maybe, referrers: some}\n", []string{
			`broken m.yaml:3:29: public-name: bad registry name "p": "p" is not a registry host: it has neither '.' nor ':'`,
			`broken m.yaml:3:46: attestations: want true or false, found the value "maybe"`,
			`broken m.yaml:3:64: bad referrers "some": want none, accepted or all`,
		}},
		{"empty keys about evidence", src + "- {name: d.io, public-name: , referrers: }\n", []string{
			`broken m.yaml:3:29: public-name: empty registry name`,
			`broken m.yaml:3:42: bad referrers "": want none, accepted or all`,
		}},
		{
			"a destination with other keys about evidence",
			src + "- {name: d.io, referrers: all}\n- {name: d.io, referrers: all}\n- {name: d.io, attestations: true}\n", []string{
				`broken m.yaml:5:3: destination d.io again with another public-name, attestations or referrers: the first is on line 3`,
			},
		},
		{"absent-status on the source", "registries:\n- {name: s.io, src: true, absent-status: [403]}\n- {name: d.io}\n", []string{
			`broken m.yaml:2:27: absent-status on the source: it is for destinations only`,
		}},
		{"absent-status that means something else", src + "- {name: d.io, absent-status: [401, 403, 404, 407, 408, 410, 425, 429]}\n", []string{
			`broken m.yaml:3:32: absent-status: 401 never means that something does not exist: it asks to sign in, or to try again`,
			`broken m.yaml:3:47: absent-status: 407 never means that something does not exist: it asks to sign in, or to try again`,
			`broken m.yaml:3:52: absent-status: 408 never means that something does not exist: it asks to sign in, or to try again`,
			`broken m.yaml:3:62: absent-status: 425 never means that something does not exist: it asks to sign in, or to try again`,
			`broken m.yaml:3:67: absent-status: 429 never means that something does not exist: it asks to sign in, or to try again`,
		}},
		{"bad absent-status", src + "- {name: d.io, absent-status: [399, 400, 499, 500, '403', x]}\n", []string{
			`broken m.yaml:3:32: absent-status: want an HTTP status from 400 to 499, found the value "399"`,
			`broken m.yaml:3:47: absent-status: want an HTTP status from 400 to 499, found the value "500"`,
			`broken m.yaml:3:52: absent-status: want an HTTP status from 400 to 499, found quoted text "403"`,
			`broken m.yaml:3:59: absent-status: want an HTTP status from 400 to 499, found the value "x"`,
		}},
		{"service-account with a space", src + "- {name: d.io, service-account: \"a b\"}\n", []string{`broken m.yaml:3:33: bad service-account "a b": it holds spaces or control characters`}},
		{"service-account with a control character", src + "- {name: d.io, service-account: \"a\\n\"}\n", []string{`broken m.yaml:3:33: bad service-account "a\n": it holds spaces or control characters`}},
		{"service-account of a wrong type", src + "- {name: d.io, service-account: {}}\n", []string{`broken m.yaml:3:33: service-account: want text, found a mapping`}},
		{"mutable-tags on the source", "registries:\n- {name: s.io, src: true, mutable-tags: [a]}\n- {name: d.io}\n", []string{
			`warning m.yaml:2:27: mutable-tags on the source: it has no effect, tags move in destinations only`,
		}},
		{"null fields are unset", "registries:\n- {name: s.io, src: true, mirrors: ~, service-account: }\n- {name: d.io, src: ~, mutable-tags: , absent-status: ~}\n", nil},
	})
}

func TestSourceMayBeABooleanOfYAML11(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"true", "True", "yes", "YES", "on", "On", "y", "!!bool 'true'"} {
		if set := plain("registries:\n- {name: s.io, src: " + word + "}\n- {name: d.io}\n"); len(set.Faults) != 0 {
			t.Errorf("src: %s: got faults %v, want none", word, set.Faults)
		}
	}
}

func TestRepeatedDestinations(t *testing.T) {
	t.Parallel()
	const warning = "warning m.yaml:4:3: destination d.io/q again with another service-account: the one on line 3 is used"
	tests := []struct {
		name, second string
		lines        []int32
		want         []string
	}{
		{"the same is kept once", "{name: d.io/q}", []int32{3}, nil},
		{"another spelling is the same", "{name: D.io/q/}", []int32{3}, nil},
		{"a nested one is another", "{name: d.io/q/r}", []int32{3, 4}, nil},
		{"another account is warned of", "{name: d.io/q, service-account: x@y}", []int32{3}, []string{warning}},
		{"other mutable-tags keep both", "{name: d.io/q, mutable-tags: [v*]}", []int32{3, 4}, nil},
		{"other absent-status keeps both", "{name: d.io/q, absent-status: [403]}", []int32{3, 4}, nil},
		{"kept both and warned of", "{name: d.io/q, mutable-tags: [v*], service-account: x@y}", []int32{3, 4}, []string{warning}},
		{"the source as destination stays", "{name: s.io/p}", []int32{3, 4}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := plain(twoRegistries + "- " + tt.second + "\n")
			var lines []int32
			for _, d := range set.Manifests[0].Destinations {
				lines = append(lines, d.Pos.Line)
			}
			equal(t, lines, tt.lines)
			equal(t, faults(set), tt.want)
		})
	}
}

func TestRepeatedDestinationsCompareSets(t *testing.T) {
	t.Parallel()
	set := plain(twoRegistries + "- {name: e.io, mutable-tags: [a, b]}\n- {name: e.io, mutable-tags: [b, a, b]}\n- {name: e.io, mutable-tags: [b, c]}\n")
	var lines []int32
	for _, d := range set.Manifests[0].Destinations {
		lines = append(lines, d.Pos.Line)
	}
	equal(t, lines, []int32{3, 4, 6})
}

func TestDocumentRules(t *testing.T) {
	rules(t, []ruleTest{
		{"empty file", "", []string{"broken m.yaml: no registries: the file is empty"}},
		{"comment only", "# none\n", []string{"broken m.yaml: no registries: the file is empty"}},
		{"empty documents only", "---\n---\n", []string{"broken m.yaml: no registries: the file is empty"}},
		{"a text", "hello\n", []string{`broken m.yaml:1:1: a manifest: want a mapping, found text`}},
		{"a bare list", "- name: a\n  dmap: {x: []}\n", []string{
			"broken m.yaml:1:1: a bare list, as in a thin manifest's images.yaml: load its directory as thin manifests, or put the list under images: and add registries:",
			`refused m.yaml:2:10: bad digest "x": want sha256: and 64 lower-case hexadecimal digits`,
		}},
		{"missing images promote nothing", twoRegistries, nil},
		{"null images promote nothing", twoRegistries + "images:\n", nil},
		{"empty images promote nothing", twoRegistries + "images: []\n", nil},
		{"images of a wrong type", twoRegistries + "images: {a: b}\n", []string{`broken m.yaml:4:9: images: want a list, found a mapping`}},
		{"unknown key", twoRegistries + "image: []\n", []string{`broken m.yaml:4:1: a manifest: unknown key "image": did you mean "images"?`}},
		{"imagesPath is for thin manifests", twoRegistries + "imagesPath: x\n", []string{`broken m.yaml:4:1: a manifest: unknown key "imagesPath"`}},
		{"duplicate key", twoRegistries + "registries: []\n", []string{`broken m.yaml:4:1: duplicate key "registries": the first is on line 1`}},
		{"a quoted key is the same key", twoRegistries + "\"registries\": []\n", []string{`broken m.yaml:4:1: duplicate key "registries": the first is on line 1`}},
		{"key that is not text", twoRegistries + "? [a]\n: b\n", []string{`broken m.yaml:4:3: a key: want text, found a list`}},
		{"sources are read", twoRegistries + "sources: [{name: x, select: {tag: v1}}]\n", nil},
		{"a bad source", twoRegistries + "sources: [{name: x, select: {tag: v1, alias: z}}]\n", []string{
			`broken m.yaml:4:21: select wants exactly one of tag, digest, semver, numerical, alphabetical, newest, gitRevision, alias, labels, found tag and alias`,
		}},
		{"sources of a wrong type", twoRegistries + "sources: x\n", []string{`broken m.yaml:4:10: sources: want a list, found the value "x"`}},
		{"provenance that is off", twoRegistries + "provenance: {mode: off}\n", nil},
		{"provenance without a mode", twoRegistries + "provenance: {level: 2}\n", []string{
			`warning m.yaml:4:1: provenance without mode: the policy is off, no image is judged`,
		}},
		{"provenance of a native file", "images: [{name: a.io/b, src_build_tag: x, tag: y}]\nprovenance: {mode: off}\n", []string{
			`broken m.yaml:2:1: provenance in a native file: a policy belongs to the source of a manifest, and a native file has none`,
		}},
		{"CRLF and BOM", "\ufeff" + strings.ReplaceAll(twoRegistries, "\n", "\r\n"), nil},
		{"JSON", `{"registries": [{"name": "s.io", "src": true},` + "\n\t" + `{"name": "d.io"}], "images": [{"name": "a", "dmap": {"$A": ["1"]}}]}`, nil},
		{"a trailing separator is not a document", twoRegistries + "---\n", nil},
	})
}

func TestDocumentsAreSeparateManifests(t *testing.T) {
	t.Parallel()
	set := plain(twoRegistries + "images: [{name: a, dmap: {$A: [x]}}]\n---\n" + twoRegistries + "images: [{name: b, dmap: {$A: [-]}}]\n")
	equal(t, faults(set), []string{
		`refused m.yaml:9:101: bad tag "-": want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'`,
	})
	if len(set.Manifests) != 2 {
		t.Fatalf("%d manifests, want 2", len(set.Manifests))
	}
	equal(t, wanted(set.Manifests[0]), []string{"a a=x"})
	equal(t, wanted(set.Manifests[1]), []string{"b"})
}

func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"dir/x": {},
		"pipe":  {Mode: fs.ModeNamedPipe},
		"large": {Data: make([]byte, yamlread.MaxBytes+1)},
		"utf16": {Data: []byte("\xff\xfea\x00")},
		"dense": {Data: []byte(strings.Repeat("[,", yamlread.MaxNodes/2+1))},
	}
	tests := []struct{ file, want string }{
		{"none", "broken x/none: no such file or directory"},
		{"dir", "broken x/dir: is a directory, want a file"},
		{"pipe", "broken x/pipe: is not a regular file"},
		{"large", "broken x/large: is larger than 64 MiB"},
		{"utf16", "broken x/utf16: is UTF-16 text, want UTF-8"},
		{"dense", "broken x/dense: holds more than 2000000 values"},
	}
	for _, tt := range tests {
		equal(t, faults(Plain(fsys, tt.file, "x/"+tt.file)), []string{tt.want})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	const registries = "registries: [{name: r.io/s, src: true}, {name: d.io}]\n"
	fsys := fstest.MapFS{
		"p/m.yaml":                               {Data: []byte(registries + "images: [{name: x, dmap: {}}]\n")},
		"p/t/manifests/a/promoter-manifest.yaml": {Data: []byte(registries)},
		"p/t/images/a/images.yaml":               {Data: []byte("[{name: y, dmap: {}}]\n")},
	}
	for name, want := range map[string][2]string{
		"p/m.yaml": {"shown", "x"},
		"p/t":      {"shown/manifests/a/promoter-manifest.yaml", "y"},
	} {
		set, err := Load(fsys, name, "shown")
		if err != nil || len(set.Manifests) != 1 {
			t.Fatalf("%s: got %+v, %v, want one manifest", name, set, err)
		}
		equal(t, [2]string{set.Manifests[0].File, set.Manifests[0].Images[0].Name}, want)
	}
	if _, err := Load(fsys, "p/none", "shown"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: got %v, want %v", err, fs.ErrNotExist)
	}
}
