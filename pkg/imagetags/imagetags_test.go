package imagetags_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// chained is the example in the appc proposal for image tags.
const chained = `{"aliases": {"latest": "3.x", "3.x": "3.0.x", "3.0.x": "3.0.1", "3.0.1": "3.0.1-2"},
 "labels":  {"3.0.1-2": {"version": "3.0.1", "build": "2"}, "3.0.1-3": {"version": "3.0.1", "build": "3"}}}`

// parse parses image tags that must have no fault.
func parse(t *testing.T, text string) *imagetags.File {
	t.Helper()
	tags, faults := imagetags.Parse("t.json", []byte(text))
	if tags == nil {
		t.Fatalf("%s: got faults %v, want none", text, faults)
	}
	return tags
}

func TestParseReturnsAllFaults(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	for _, tc := range []struct {
		name, in string
		want     []string // faults
	}{
		{"example", chained, nil},
		{"both keys may be left out", `{}`, nil},
		{"no tags", `{"aliases": {}, "labels": {}}`, nil},
		{"escapes are undone before keys are compared", `{"labels": {"a": {}, "\u0061": {}}}`, []string{`t.json:1:22: duplicate key "a": the first is on line 1`}},
		{"nothing", "", []string{"t.json:1:1: bad JSON: it ends too early"}},
		{"white space", " \n ", []string{"t.json:1:1: bad JSON: it ends too early"}},
		{"broken off", "{\"labels\":\n{", []string{"t.json:2:1: bad JSON: it ends too early"}},
		{"trailing comma", "{\"labels\": {},\n }", []string{"t.json:2:2: bad JSON: unexpected '}'"}},
		{"more than one value", "{\"labels\": {}}\n{}", []string{"t.json:2:1: bad JSON: unexpected '{'"}},
		{"comment", "{\"labels\": {}} // x", []string{"t.json:1:16: bad JSON: unexpected '/'"}},
		{"not UTF-8", "{\"labels\": {\"\xff\": {}}}", []string{"t.json:1:14: is not UTF-8 text"}},
		{"byte order mark", "\ufeff{}", []string{"t.json:1:1: bad JSON: unexpected character"}},
		{"another file", `{"auths": {"x.io": {"auth": "SECRET", "auth": "SECRET"}}}`, []string{
			"t.json:1:2: unknown key: want aliases or labels", "t.json:1:39: duplicate key: the first is on line 1",
		}},
		{"a token", "SECRET", []string{"t.json:1:1: bad JSON: unexpected character"}},
		{"text", `"SECRET"`, []string{"t.json:1:1: the file: want an object, found a string"}},
		{"list", `[]`, []string{"t.json:1:1: the file: want an object, found a list"}},
		{"null", `null`, []string{"t.json:1:1: the file: want an object, found null"}},
		{"unknown key", `{"alias": {}, "name": "x"}`, []string{
			`t.json:1:2: unknown key "alias": want aliases or labels`,
			`t.json:1:15: unknown key "name": want aliases or labels`,
		}},
		{"keys in other case", `{"Labels": {}}`, []string{`t.json:1:2: unknown key "Labels": want aliases or labels`}},
		{"duplicate keys at every depth", `{
 "labels": {"a": {"x": "1", "x": "2"}, "a": {"y": "1"}},
 "aliases": {"b": "a", "b": "c"},
 "labels": {"c": {}}}`, []string{
			`t.json:2:29: duplicate key "x": the first is on line 2`,
			`t.json:2:40: duplicate key "a": the first is on line 2`,
			`t.json:3:24: duplicate key "b": the first is on line 3`,
			`t.json:4:2: duplicate key "labels": the first is on line 2`,
		}},
		{"duplicate keys in a wrong type", `{"labels": {"a": {"x": [{"k": 1, "k": 2}]}}}`, []string{
			`t.json:1:24: label "x" of "a": want a string, found a list`,
			`t.json:1:34: duplicate key "k": the first is on line 1`,
		}},
		{"wrong types", `{"aliases": {"a": 1, "b": null, "c": {}}, "labels": {"d": "x", "e": {"v": 1.0, "w": true}}}`, []string{
			`t.json:1:19: alias "a": want a string, found a number`,
			`t.json:1:27: alias "b": want a string, found null`,
			`t.json:1:38: alias "c": want a string, found an object`,
			`t.json:1:59: labels of "d": want an object, found a string`,
			`t.json:1:75: label "v" of "e": want a string, found a number`,
			`t.json:1:85: label "w" of "e": want a string, found a boolean`,
		}},
		{"wrong types of both", `{"aliases": null, "labels": []}`, []string{
			"t.json:1:13: aliases: want an object, found null", "t.json:1:29: labels: want an object, found a list",
		}},
		{"empty names", `{"aliases": {"": "a", "b": ""}, "labels": {"": {"v": ""}}}`, []string{
			"t.json:1:14: aliases: empty tag name", `t.json:1:28: alias "b" leads to an empty tag name`, "t.json:1:44: labels: empty tag name",
		}},
		{"label names", `{"labels": {"a": {"name": "x", "Version": "1", "": "1", "a/b~c.d-e_f": "1", "-a": "1", "a--b": "2"}}}`, []string{
			`t.json:1:19: labels of "a": bad label name "name": it is reserved for the name of the image`,
			`t.json:1:32: labels of "a": bad label name "Version": want lower-case letters and digits, joined by '-', '.', '_', '~' or '/'`,
			`t.json:1:48: labels of "a": bad label name "": want lower-case letters and digits, joined by '-', '.', '_', '~' or '/'`,
			`t.json:1:77: labels of "a": bad label name "-a": want lower-case letters and digits, joined by '-', '.', '_', '~' or '/'`,
			`t.json:1:88: labels of "a": bad label name "a--b": want lower-case letters and digits, joined by '-', '.', '_', '~' or '/'`,
		}},
		{"a syntax error does not hide the faults before it", `{"aliases": {"": "a"}, "labels": {"a": }}`, []string{
			"t.json:1:14: aliases: empty tag name", "t.json:1:40: bad JSON: unexpected '}'",
		}},
		{"columns are characters", `{"aliases": {"ключ": 1}}`, []string{`t.json:1:22: alias "ключ": want a string, found a number`}},
		{"too deep", `{"labels": ` + deep + `}`, []string{
			"t.json:1:12: labels: want an object, found a list", "t.json:1:75: more than 64 nested objects and lists",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tags, faults := imagetags.Parse("t.json", []byte(tc.in))
			var got []string
			for _, f := range faults {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if (tags == nil) != (len(tc.want) > 0) {
				t.Errorf("got tags: %t, want %t", tags != nil, len(tc.want) == 0)
			}
		})
	}
	if _, faults := imagetags.Parse("t.json", make([]byte, imagetags.MaxSize+1)); len(faults) != 1 {
		t.Errorf("file over the size limit: got faults %v, want 1", faults)
	}
}

func TestTagWithAliasAndLabelsIsAWarning(t *testing.T) {
	t.Parallel()
	tags, faults := imagetags.Parse("t.json", []byte(`{"labels": {"a": {"v": "1"}, "b": {"v": "2"}}, "aliases": {"a": "b"}}`))
	want := []yamlread.Fault{{
		Pos: yamlread.Pos{File: "t.json", Line: 1, Column: 60}, Severity: yamlread.Warning,
		Message: `tag "a" is an alias of "b" and has labels: the alias is followed, the labels are never used`,
	}}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Fatalf("faults (-want +got):\n%s", diff)
	}
	if m, err := tags.Merge("a", nil, false); err != nil || m.Labels["v"] != "2" {
		t.Errorf("got %v, %v, want the labels of the alias", m, err)
	}
}

func TestLongLineAndManyFaults(t *testing.T) {
	t.Parallel()
	var fine, bad strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&fine, `"%d": {"version": "é"}, `, i)
		fmt.Fprintf(&bad, `"x": %d, `, i)
	}
	tags := parse(t, `{"labels": {`+fine.String()+`"last": {"version": "1"}}}`)
	if got, want := tags.Pos("last").Column, utf8.RuneCountInString(fine.String())+13; int(got) != want {
		t.Errorf("column: got %d, want %d", got, want)
	}
	_, faults := imagetags.Parse("t.json", []byte(`{"labels": {`+bad.String()+`"y": 1}}`))
	if n := len(faults); n != 1001 || !strings.Contains(faults[n-1].Message, "more than 1000 faults") {
		t.Errorf("got %d faults, the last %v, want 1001 and the limit", n, faults[n-1])
	}
}

// hops returns image tags with a chain of n aliases from t0 to a tag with labels.
func hops(n int) string {
	var b strings.Builder
	b.WriteString(`{"aliases": {`)
	for i := range n {
		fmt.Fprintf(&b, `"t%d": "t%d",`, i, i+1)
	}
	return strings.TrimSuffix(b.String(), ",") + fmt.Sprintf(`}, "labels": {"t%d": {"version": "1"}}}`, n)
}

func TestMerge(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	const none, simple = "", `{"aliases": {"latest": "2.x"}, "labels": {"2.x": {"version": "2.0.0"}, "void": {}}}`
	for _, tc := range []struct {
		name, file, tag string
		given           labels
		fallback        bool
		want            labels
		path            string
		err             string
	}{
		{name: "the tag's labels are added", file: simple, tag: "latest", given: labels{"os": "linux", "arch": "amd64"}, want: labels{"os": "linux", "arch": "amd64", "version": "2.0.0"}, path: "latest 2.x"},
		{name: "given labels win", file: simple, tag: "latest", given: labels{"version": "1.0.0"}, want: labels{"version": "1.0.0"}, path: "latest 2.x"},
		{name: "without a file the tag is the version", file: none, tag: "latest", want: labels{"version": "latest"}},
		{name: "without a file a version contradicts the tag", file: none, tag: "latest", given: labels{"version": "1.0.0"}, err: "label version=1.0.0"},
		{name: "a contradiction even if they are equal", file: none, tag: "1", given: labels{"version": "1"}, err: "label version=1"},
		{name: "without a tag nothing is added", file: simple, given: labels{"a": "b"}, want: labels{"a": "b"}},
		{name: "without a tag and a file", file: none, given: labels{"version": "1"}, want: labels{"version": "1"}},
		{name: "all aliases are followed", file: chained, tag: "latest", want: labels{"version": "3.0.1", "build": "2"}, path: "latest 3.x 3.0.x 3.0.1 3.0.1-2"},
		{name: "a tag with labels and no alias", file: chained, tag: "3.0.1-3", want: labels{"version": "3.0.1", "build": "3"}, path: "3.0.1-3"},
		{name: "unknown tag", file: simple, tag: "3", err: `t.json: unknown tag "3"`},
		{name: "an empty file is a file", file: "{}", tag: "3", err: `t.json: unknown tag "3"`},
		{name: "tag without labels", file: simple, tag: "void", err: `tag "void" has no labels`},
		{name: "chain without labels", file: `{"aliases": {"a": "b", "b": "c"}}`, tag: "a", err: `tag "a" ends at "c", which has no labels: a -> b -> c`},
		{name: "fallback for an unknown tag", file: simple, tag: "3", fallback: true, want: labels{"version": "3"}, path: "3"},
		{name: "fallback for a chain is its last tag", file: `{"aliases": {"a": "b", "b": "c"}}`, tag: "a", fallback: true, want: labels{"version": "c"}, path: "a b c"},
		{name: "fallback contradicts a version", file: simple, tag: "3", given: labels{"version": "4"}, fallback: true, err: "label version=4"},
		{name: "fallback changes nothing for known tags", file: simple, tag: "latest", fallback: true, want: labels{"version": "2.0.0"}, path: "latest 2.x"},
		{name: "alias of itself", file: `{"aliases": {"a": "a"}}`, tag: "a", err: "a cycle: a -> a"},
		{name: "cycle of two", file: `{"aliases": {"a": "b", "b": "a"}}`, tag: "a", err: "a cycle: a -> b -> a"},
		{name: "a cycle that the tag is not in", file: `{"aliases": {"x": "a", "a": "b", "b": "a"}}`, tag: "x", err: "a cycle: x -> a -> b -> a"},
		{name: "fallback does not hide cycles", file: `{"aliases": {"a": "a"}}`, tag: "a", fallback: true, err: "a cycle: a -> a"},
		{name: "a cycle with labels is one", file: `{"aliases": {"a": "a"}, "labels": {"a": {"v": "1"}}}`, tag: "a", err: "a cycle: a -> a"},
		{name: "as many aliases as allowed", file: hops(32), tag: "t0", want: labels{"version": "1"}, path: func() string {
			var path []string
			for i := range 33 {
				path = append(path, fmt.Sprintf("t%d", i))
			}
			return strings.Join(path, " ")
		}()},
		{name: "one too many", file: hops(33), tag: "t0", err: `more than 32 aliases follow tag "t0"`},
		{name: "one too many, with fallback", file: hops(33), tag: "t0", fallback: true, err: "more than 32 aliases"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var tags *imagetags.File
			if tc.file != none {
				tags = parse(t, tc.file)
			}
			given := maps.Clone(tc.given)
			got, err := tags.Merge(tc.tag, given, tc.fallback)
			if diff := cmp.Diff(tc.given, given); diff != "" {
				t.Errorf("given labels were changed (-want +got):\n%s", diff)
			}
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if path := strings.Join(got.Path, " "); path != tc.path {
				t.Errorf("path: got %q, want %q", path, tc.path)
			}
		})
	}
}

// FuzzImageTags checks the positions of faults, and compares Chain with a naive
// implementation.
func FuzzImageTags(f *testing.F) {
	for _, s := range []string{chained, hops(3), `{"aliases":{"a":"a"}}`, `{"labels":{"a":{"x":[{"k":1,"k":2}]}}}`, `{"a":`, "\xff", `[[[`, `{"labels":{"a":{"v":"1"}}}{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		tags, faults := imagetags.Parse("f", raw)
		for _, f := range faults {
			if f.Pos.Line < 1 || f.Pos.Column < 1 || int(f.Pos.Line) > 1+strings.Count(string(raw), "\n") {
				t.Fatalf("got fault %v, want a line and a column of the file", f)
			}
		}
		if tags == nil {
			if len(faults) == 0 {
				t.Fatal("got neither tags nor a fault, want one of them")
			}
			return
		}
		for _, tag := range tags.Tags() {
			path, err := tags.Chain(tag)
			at := tag
			for range 32 {
				if next, more := tags.Aliases[at]; more {
					at = next
				}
			}
			_, more := tags.Aliases[at]
			ok := !more && len(tags.Labels[at]) > 0
			if ok != (err == nil) || ok && path[len(path)-1] != at {
				t.Fatalf("tag %q: got %v %v, want %v at %q", tag, path, err, ok, at)
			}
			if err == nil && len(slices.Compact(slices.Sorted(slices.Values(path)))) != len(path) {
				t.Fatalf("tag %q: got duplicates in %v, want none", tag, path)
			}
		}
	})
}
