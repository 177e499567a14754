package provenance_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// readPolicy reads the value of the key provenance on the first line of a file, and
// returns its faults.
func readPolicy(t *testing.T, text string) (*provenance.Policy, []string) {
	t.Helper()
	file := yamlread.Open(fstest.MapFS{"m": {Data: []byte("provenance:" + text)}}, "m", "m")
	if len(file.Docs) != 1 {
		t.Fatalf("%s: got faults %v, want a document", text, file.Faults)
	}
	f, ok := yamlread.Lookup(file.Docs[0], "provenance")
	if !ok {
		t.Fatalf("%s: got no provenance, want some", text)
	}
	p := provenance.Read(file, f)
	var faults []string
	for _, fault := range file.SortedFaults() {
		severity := map[yamlread.Severity]string{yamlread.Warning: "warning", yamlread.Broken: "broken"}[fault.Severity]
		faults = append(faults, fmt.Sprintf("%s %d:%d %s", severity, fault.Pos.Line, fault.Pos.Column, fault.Message))
	}
	return p, faults
}

func TestRead(t *testing.T) {
	t.Parallel()
	got, faults := readPolicy(t, `
  mode: require
  signers: ["sigstore::i::me", "sigstore(identityMatch=prefix/i)::i::You", "sigstore::i::me"]
  builders:
  - {id: "https://b", level: 3, signers: ["sigstore::i::me"]}
  - id: https://c
    level: 2
    caller: {workflows: [.github/workflows/a.yml], refs: [refs/heads/*]}
  sources: [github.com/o/r, github.com/o/r, https://github.com/o/s]
  predicateTypes: [https://spdx.dev/Document]
  level: 2
  levels: [{images: [a, "b/*"], level: 3}]
`)
	if faults != nil {
		t.Errorf("got faults %q, want none", faults)
	}
	signer := func(spec string) provenance.Signer {
		s, err := provenance.ParseSigner(spec)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := &provenance.Policy{
		Mode:    provenance.Require,
		Signers: []provenance.Signer{signer("sigstore::i::me"), signer("sigstore(identityMatch=prefix/i)::i::You")},
		Builders: []provenance.Builder{
			{ID: "https://b", Level: 3, Signers: []string{"sigstore::i::me"}},
			{ID: "https://c", Level: 2, Caller: &provenance.Caller{Workflows: []string{".github/workflows/a.yml"}, Refs: []string{"refs/heads/*"}}},
		},
		Sources:        []string{"github.com/o/r", "https://github.com/o/s"},
		PredicateTypes: []string{"https://spdx.dev/Document"},
		Level:          2,
		Levels:         []provenance.ImageLevel{{Images: []string{"a", "b/*"}, Level: 3, Pos: yamlread.Pos{File: "m", Line: 12, Column: 12}}},
		Pos:            yamlread.Pos{File: "m", Line: 1, Column: 1},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(provenance.Pattern{})); diff != "" {
		t.Errorf("got another policy (-want +got):\n%s", diff)
	}
}

// The lists that a policy needs unless it is off, one on each line.
const (
	signersLine  = "signers: [\"sigstore::i::a\", \"sigstore::i::b\"]"
	buildersLine = "builders: [{id: b, level: 2}]"
	sourcesLine  = "sources: [s]"
)

func TestReadFaults(t *testing.T) {
	t.Parallel()
	lists := []string{signersLine, buildersLine, sourcesLine}
	for _, test := range []struct {
		name  string
		lines []string // the first is line 2
		want  []string
	}{
		{"required", append([]string{"mode: require"}, lists...), nil},
		{"warned of", append([]string{"mode: warn"}, lists...), nil},
		{"off", []string{"mode: off"}, nil},
		{"off, complete", append([]string{"mode: off", "level: 2"}, lists...), nil},
		{"off and bad", []string{"mode: off", "level: 1", "sources: [a@b]"}, []string{
			`broken 3:10 level 1 cannot be required: trust in the builder is a part of level 2: want 0, 2 or 3`,
			`broken 4:13 sources: bad item "a@b": want a source repository without @`,
		}},
		{"no mode", lists, []string{`warning 1:1 provenance without mode: the policy is off, no image is judged`}},
		{"another mode", []string{"mode: Require"}, []string{`broken 2:9 bad mode "Require": want off, warn or require`}},
		{"an empty mode", []string{`mode: ""`}, []string{`broken 2:9 bad mode "": want off, warn or require`}},
		{"a null mode", []string{"mode:"}, []string{`broken 2:8 mode: want text, found null`}},
		{"a mode that is a list", []string{"mode: [require]"}, []string{`broken 2:9 mode: want text, found a list`}},
		{"unknown keys", []string{"mode: off", "signer: [x]", "x: y"}, []string{
			`broken 3:3 provenance: unknown key "signer": did you mean "signers"?`,
			`broken 4:3 provenance: unknown key "x"`,
		}},
		{"a repeated key", []string{"mode: off", "mode: require"}, []string{`broken 3:3 duplicate key "mode": the first is on line 2`}},
		{"no lists", []string{"mode: require"}, []string{
			`broken 1:1 provenance without builders`, `broken 1:1 provenance without signers`, `broken 1:1 provenance without sources`,
		}},
		{"empty lists", []string{"mode: warn", "signers: []", "builders:", "sources: []"}, []string{
			`broken 3:3 provenance without signers: the list is empty`,
			`broken 4:3 provenance without builders: the list is empty`,
			`broken 5:3 provenance without sources: the list is empty`,
		}},
		{"lists of other types", []string{"mode: warn", "signers: x", "builders: {id: x}", "sources: 1"}, []string{
			`broken 3:12 signers: want a list, found the value "x"`,
			`broken 4:13 builders: want a list, found a mapping`,
			`broken 5:12 sources: want a list, found the value "1"`,
		}},
		{"items of other types", []string{"mode: off", "signers: [1, null]", "builders: [x]", "sources: [[a], true]", "predicateTypes: [{a: b}]"}, []string{
			`broken 3:13 a signer: want text, found the value "1"`,
			`broken 3:16 a signer: want text, found null`,
			`broken 4:14 a builder: want a mapping, found the value "x"`,
			`broken 5:13 an item of sources: want text, found a list`,
			`broken 5:18 an item of sources: want text, found the value "true"`,
			`broken 6:20 an item of predicateTypes: want text, found a mapping`,
		}},
		{"blank items", []string{"mode: off", `sources: [" "]`, `predicateTypes: [""]`, `builders: [{id: " ", level: 1}]`}, []string{
			`broken 3:13 an item of sources is blank`,
			`broken 4:20 an item of predicateTypes is blank`,
			`broken 5:19 id is blank`,
		}},
		{"a bad signer", []string{"mode: off", "signers: [key::x]"}, []string{
			`broken 3:13 signers of kind key are not supported: want sigstore::ISSUER::IDENTITY`,
		}},
		{"incomplete builders", []string{"mode: off", "builders: [{}, {id: x}, {level: 1}, {id: x, level: 4}, {id: y, level: \"1\"}]"}, []string{
			`broken 3:14 a builder without id`,
			`broken 3:14 a builder without level: want 1, 2 or 3`,
			`broken 3:18 a builder without level: want 1, 2 or 3`,
			`broken 3:27 a builder without id`,
			`broken 3:44 builder "x" again: the first is on line 3`,
			`broken 3:54 level of a builder: want a whole number from 1 to 3, found the value "4"`,
			`broken 3:73 level of a builder: want a whole number from 1 to 3, found quoted text "1"`,
		}},
		{"signers of a builder", []string{"mode: off", signersLine, "builders: [{id: x, level: 1, signers: [sigstore::i::a, sigstore::i::A]}]"}, []string{
			`broken 4:58 signers: bad item "sigstore::i::A": not one of the signers of the policy`,
		}},
		{"unknown keys of a builder", []string{"mode: off", "builders: [{id: x, level: 1, caller: {refs: [refs/x], ref: y}, signer: z}]"}, []string{
			`broken 3:57 caller: unknown key "ref": did you mean "refs"?`,
			`broken 3:66 a builder: unknown key "signer": did you mean "signers"?`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, got := readPolicy(t, "\n  "+strings.Join(test.lines, "\n  ")+"\n"); !cmp.Equal(test.want, got) {
				t.Errorf("got other faults (-want +got):\n%s", cmp.Diff(test.want, got))
			}
		})
	}
}

func TestReadLevels(t *testing.T) {
	t.Parallel()
	const a, b = `"sigstore::i::a"`, `"sigstore::i::b"`
	for _, test := range []struct {
		name, builders, rest string // rest is line 6
		want                 []string
	}{
		{"level 2 of 2", "[{id: x, level: 2}]", "level: 2", nil},
		{"level 3 of 2", "[{id: x, level: 2}]", "level: 3", []string{
			`broken 6:10 level 3 cannot be reached: the highest one of a builder that a signer may name is 2`,
		}},
		{"the lowest builder counts", "[{id: x, level: 3}, {id: y, level: 2}]", "level: 3", []string{
			`broken 6:10 level 3 cannot be reached: the highest one of a builder that a signer may name is 2`,
		}},
		{"one signer with a builder of its own", "[{id: x, level: 3, signers: [" + a + "]}, {id: y, level: 1}]", "level: 3", nil},
		{"the other builder alone", "[{id: x, level: 1, signers: [" + a + ", " + b + "]}, {id: y, level: 3}]", "level: 2", []string{
			`broken 6:10 level 2 cannot be reached: the highest one of a builder that a signer may name is 1`,
		}},
		{"level 4", "[{id: x, level: 3}]", "level: 4", []string{`broken 6:10 level: want a whole number from 0 to 3, found the value "4"`}},
		{"a null level", "[{id: x, level: 3}]", "level:", []string{`broken 6:9 level: want a whole number from 0 to 3, found null`}},
		{"levels", "[{id: x, level: 3}]", `levels: [{images: [a], level: 3}, {images: ["*/b"], level: 2}]`, nil},
		{"levels out of reach", "[{id: x, level: 2}]", `levels: [{images: [a], level: 3}]`, []string{
			`broken 6:33 level 3 cannot be reached: the highest one of a builder that a signer may name is 2`,
		}},
		{"levels not above level", "[{id: x, level: 3}]", `{level: 2, levels: [{images: [a], level: 2}, {images: [b], level: 3}]}`, []string{
			`warning 6:48 levels: level 2 has no effect: level 2 is required of all images`,
		}},
		{"levels of 1", "[{id: x, level: 3}]", `levels: [{images: [a], level: 1}]`, []string{
			`broken 6:33 level of a levels entry: want a whole number from 2 to 3, found the value "1"`,
		}},
		{"incomplete levels", "[{id: x, level: 3}]", `levels: [{}, {images: [], level: 3}, {images: [a]}, {image: [a], images: [a], level: 2}]`, []string{
			`broken 6:12 a levels entry without images`,
			`broken 6:12 a levels entry without level: want 2 or 3`,
			`broken 6:17 a levels entry without images: the list is empty`,
			`broken 6:40 a levels entry without level: want 2 or 3`,
			`broken 6:56 a levels entry: unknown key "image": did you mean "images"?`,
		}},
		{"bad patterns of levels", "[{id: x, level: 3}]", `levels: [{images: [/a, b/, "[", " "], level: 3}]`, []string{
			`broken 6:22 images: bad item "/a": want a pattern of path.Match without a slash at its ends`,
			`broken 6:26 images: bad item "b/": want a pattern of path.Match without a slash at its ends`,
			`broken 6:30 images: bad item "[": want a pattern of path.Match without a slash at its ends`,
			`broken 6:35 an item of images is blank`,
		}},
		{"signers in one of two builders that are the same at a ref", "[{id: x, level: 3}, {id: x@r, level: 3, signers: [" + a + "]}]", "{}", []string{
			`broken 5:33 builder "x@r" is the one on line 5 at a ref: want signers in both, or in none`,
		}},
		{"signers in the other", "[{id: x, level: 3, signers: [" + a + "]}, {id: x@r, level: 3}]", "{}", []string{
			`broken 5:62 builder "x@r" is the one on line 5 at a ref: want signers in both, or in none`,
		}},
		{"signers in both", "[{id: x, level: 3, signers: [" + a + "]}, {id: x@r, level: 3, signers: [" + b + "]}]", "{}", nil},
		{"signers in a builder with a longer path", "[{id: x, level: 3}, {id: x/y@r, level: 3, signers: [" + a + "]}]", "{}", nil},
		{"two refs of one builder", "[{id: x@q, level: 3}, {id: x@r, level: 3, signers: [" + a + "]}]", "{}", nil},
		{"caller without refs", "[{id: x, level: 3, caller: {workflows: [.github/workflows/a]}}]", "{}", []string{`broken 5:32 caller without refs`}},
		{"an empty caller", "[{id: x, level: 3, caller: }]", "{}", []string{`broken 5:40 caller: want a mapping, found null`}},
		{"caller with empty refs", "[{id: x, level: 3, caller: {refs: []}}]", "{}", []string{`broken 5:41 caller without refs: the list is empty`}},
		{"caller with events", "[{id: x, level: 3, caller: {refs: [refs/heads/m], events: [push]}}]", "{}", []string{
			`broken 5:63 caller: events cannot be enforced: remove the key`,
		}},
		{"bad refs", `[{id: x, level: 3, caller: {refs: [main, "refs/["]}}]`, "{}", []string{
			`broken 5:48 refs: bad item "main": want a pattern of path.Match that begins with refs/`,
			`broken 5:54 refs: bad item "refs/[": want a pattern of path.Match that begins with refs/`,
		}},
		{
			"bad workflows",
			`[{id: x, level: 3, caller: {refs: [refs/heads/m], workflows: [a.yml, .github/workflows/../a, .github/workflows, "` +
				`.github/workflows/a@b", .github/workflows/a/]}}]`, "{}", []string{
				`broken 5:75 workflows: bad item "a.yml": want a path below .github/workflows/ without @`,
				`broken 5:82 workflows: bad item ".github/workflows/../a": want a path below .github/workflows/ without @`,
				`broken 5:106 workflows: bad item ".github/workflows": want a path below .github/workflows/ without @`,
				`broken 5:125 workflows: bad item ".github/workflows/a@b": want a path below .github/workflows/ without @`,
				`broken 5:150 workflows: bad item ".github/workflows/a/": want a path below .github/workflows/ without @`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rest := test.rest
			if strings.HasPrefix(rest, "{") { // several keys, or none
				rest = "<<: " + rest
			}
			lines := []string{"mode: require", signersLine, sourcesLine, "builders: " + test.builders, rest}
			if _, got := readPolicy(t, "\n  "+strings.Join(lines, "\n  ")+"\n"); !cmp.Equal(test.want, got) {
				t.Errorf("got other faults (-want +got):\n%s", cmp.Diff(test.want, got))
			}
		})
	}
}
