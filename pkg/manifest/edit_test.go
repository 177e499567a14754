package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// long replaces A, B and C in the texts of these tests with digests.
func long(s string) string {
	return strings.NewReplacer("~A", dig("a"), "~B", dig("b"), "~C", dig("c")).Replace(s)
}

func dig(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func TestEditImages(t *testing.T) {
	t.Parallel()
	type edit = func(*manifest.ImagesText) error
	add := func(name, d string, tags ...string) edit {
		return func(t *manifest.ImagesText) error {
			return t.Add(name, manifest.Addition{Digest: image.Hash(dig(d)), Tags: tags})
		}
	}
	untag := func(name, d, tag string) edit {
		return func(t *manifest.ImagesText) error { return t.RemoveTag(name, image.Hash(dig(d)), tag) }
	}
	remove := func(name, d string) edit {
		return func(t *manifest.ImagesText) error { return t.RemoveDigest(name, image.Hash(dig(d))) }
	}
	for _, tt := range []struct {
		name, text string
		edit       edit
		want       string // "" with err
		err        string
	}{
		{"digest to the last entry of the name", `# team
- name: x # first
  dmap:
    "~A": ["1"] # one
- name: x
  dmap:
    "~B": ["2"] # two

# end
`, add("x", "c", "3", "latest"), `# team
- name: x # first
  dmap:
    "~A": ["1"] # one
- name: x
  dmap:
    "~B": ["2"] # two
    "~C": ["3", "latest"]

# end
`, ""},
		{"tag to a digest", "- name: x\n  dmap:\n    \"~A\": [\"1\"  ,  'v2' ] # c\n", add("x", "a", "1", "3"), "- name: x\n  dmap:\n    \"~A\": [\"1\"  ,  'v2', '3' ] # c\n", ""},
		{"tag to a tagless digest", "- name: x\n  dmap:\n    ~A: []\n", add("x", "a", "v1"), "- name: x\n  dmap:\n    ~A: [v1]\n", ""},
		{"tag to null", "- name: x\n  dmap:\n    ~A:\n    ~B: ~\n", add("x", "a", "1.10"), "- name: x\n  dmap:\n    ~A: [\"1.10\"]\n    ~B: ~\n", ""},
		{"tag to a written null", "- name: x\n  dmap:\n    ~A:\n    ~B: null # no\n", add("x", "b", "v"), "- name: x\n  dmap:\n    ~A:\n    ~B: [v] # no\n", ""},
		{"tag to a block list", "- name: x\n  dmap:\n    ~A:\n    - 'a' # c\n    # d\n", add("x", "a", "b"), "- name: x\n  dmap:\n    ~A:\n    - 'a' # c\n    - 'b'\n    # d\n", ""},
		{"digest next to block lists", "- name: x\n  dmap:\n    ~A:\n      - v1\n", add("x", "b", "v2", "on"), "- name: x\n  dmap:\n    ~A:\n      - v1\n    ~B:\n      - v2\n      - \"on\"\n", ""},
		{"digest behind null", "- name: x\n  dmap:\n    ~A:\n", add("x", "b"), "- name: x\n  dmap:\n    ~A:\n    ~B: []\n", ""},
		{"list over lines", "- name: x\n  dmap:\n    \"~A\": [\n      \"a\", # ]\n      \"b\"\n    ]\n", add("x", "a", "c"), "- name: x\n  dmap:\n    \"~A\": [\n      \"a\", # ]\n      \"b\", \"c\"\n    ]\n", ""},
		{"list over lines, digest behind", "- name: x\n  dmap:\n    \"~A\": [\n      \"a\",\n    ]\n", add("x", "b", "c"), "- name: x\n  dmap:\n    \"~A\": [\n      \"a\",\n    ]\n    \"~B\": [\"c\"]\n", ""},
		{"JSON", `[{"name": "x", "dmap": {"~A": ["1"]}}]`, add("x", "b", "2"), `[{"name": "x", "dmap": {"~A": ["1"], "~B": ["2"]}}]`, ""},
		{"JSON, new name", `[{"name": "x", "dmap": {"~A": ["1"]}}]`, add("y", "b", "2"), `[{"name": "x", "dmap": {"~A": ["1"]}}, {"name": "y", "dmap": {"~B": ["2"]}}]`, ""},
		{"JSON, no dmap", `[{"name": "x", "retag": []}]`, add("x", "b", "2"), `[{"name": "x", "dmap": {"~B": ["2"]}, "retag": []}]`, ""},
		{"brackets, new name", `[{name: x, dmap: {"~A": ["1"]}}]`, add("y", "b", "2"), `[{name: x, dmap: {"~A": ["1"]}}, {name: "y", dmap: {"~B": ["2"]}}]`, ""},
		{"CRLF, empty list", "# c\r\n[]\r\n", add("x", "b", "1"), "# c\r\n- name: x\r\n  dmap:\r\n    \"~B\": [\"1\"]\r\n", ""},
		{"empty mapping", "- name: x\n  dmap: {} # c\n", add("x", "b", "2"), "- name: x\n  dmap: # c\n    \"~B\": [\"2\"]\n", ""},
		{"empty mapping in brackets", "- {name: x, dmap: {}}\n", add("x", "b", "2"), "- {name: x, dmap: {\"~B\": [\"2\"]}}\n", ""},
		{"null dmap", "- name: x\n  dmap: # none\n- name: y\n  dmap:\n", add("x", "b", "2"), "- name: x\n  dmap: # none\n    \"~B\": [\"2\"]\n- name: y\n  dmap:\n", ""},
		{"written null dmap", "- name: x\n  dmap: ~\n", add("x", "b", "2"), "- name: x\n  dmap:\n    \"~B\": [\"2\"]\n", ""},
		{"no dmap", "-   name: x # c\n    retag: [{src_build_tag: a, tag: b}]\n", add("x", "b", "2"), "-   name: x # c\n    dmap:\n      \"~B\": [\"2\"]\n    retag: [{src_build_tag: a, tag: b}]\n", ""},
		{"new name", "-   name: x\n    dmap:\n        \"~A\": []\n# end", add("y/z", "b"), "-   name: x\n    dmap:\n        \"~A\": []\n-   name: y/z\n    dmap:\n        \"~B\": []\n# end", ""},
		{"first name", "# nothing yet\n", add("1", "b"), "# nothing yet\n- name: \"1\"\n  dmap:\n    \"~B\": []\n", ""},
		{"first name in an empty file", "", add("x", "b"), "- name: x\n  dmap:\n    \"~B\": []\n", ""},
		{"first name in an empty list", "# c\n[] # d\n", add("x", "b", "1"), "# c\n- name: x\n  dmap:\n    \"~B\": [\"1\"] # d\n", ""},
		{"CRLF, no line end at the end", "- name: x\r\n  dmap:\r\n    \"~A\": []", add("x", "b"), "- name: x\r\n  dmap:\r\n    \"~A\": []\r\n    \"~B\": []\r\n", ""},
		{"a carriage return without a line feed", "- name: x\r  dmap: {}\r", add("x", "a"), "", "carriage return without a line feed"},
		{"an odd line end", "# a\u2028\n- name: x\n  dmap: {}\n", add("x", "a"), "", `ends with "\u2028"`},
		{"tags to the quotes of the one before", "- name: x\n  dmap:\n    ~A: [v1]\n", add("x", "a", "v2", "1.0", "v3"), "- name: x\n  dmap:\n    ~A: [v1, v2, \"1.0\", \"v3\"]\n", ""},
		{"first name below a written null", "null\n", add("x", "b"), "", "cannot be edited"},
		{"first name below the end of a document", "--- # c\n...\n", add("x", "b"), "", "cannot be edited"},
		{"an alias", "- name: x\n  dmap: &d\n    \"~A\": []\n- name: y\n  dmap: *d\n", add("y", "b"), "", "it is an alias"},
		{"an anchor", "- name: x\n  dmap: &d\n    \"~A\": []\n- name: y\n  dmap: *d\n", add("x", "b"), "", "cannot be edited"},
		{"digest with the spaces of the one before", "- name: x\n  dmap:\n    \"~A\": [ \"1\" ]\n", add("x", "b", "2", "3"), "- name: x\n  dmap:\n    \"~A\": [ \"1\" ]\n    \"~B\": [ \"2\", \"3\" ]\n", ""},
		{"digest without quotes", "- name: x\n  dmap:\n    ~A: [v1,v2]\n", add("x", "b", "v3", "v4"), "- name: x\n  dmap:\n    ~A: [v1,v2]\n    ~B: [v3,v4]\n", ""},
		{"tag without a space", "- name: x\n  dmap:\n    ~A: ['1','2']\n", add("x", "a", "3"), "- name: x\n  dmap:\n    ~A: ['1','2','3']\n", ""},
		{"digest like the last one with tags", "- name: x\n  dmap:\n    \"~A\": ['1']\n    \"~B\": []\n", add("x", "c", "3"), "- name: x\n  dmap:\n    \"~A\": ['1']\n    \"~B\": []\n    \"~C\": ['3']\n", ""},
		{"new name after an empty line", "- name: x\n  dmap:\n    ~A: [a]\n\n# y\n- name: 'y'\n  dmap:\n    - &a\n- name: z\n", add("w", "b"), "", "adding"},
		{"new name like the last one", "- name: 'x'\n  dmap:\n      '~A': [ 'a' ]\n\n# y\n- 'name': 'y'\n  'dmap':\n      '~A': [ 'a' ] # end\n# end\n", add("w", "b", "b"),
			"- name: 'x'\n  dmap:\n      '~A': [ 'a' ]\n\n# y\n- 'name': 'y'\n  'dmap':\n      '~A': [ 'a' ] # end\n\n- 'name': 'w'\n  'dmap':\n      '~B': [ 'b' ]\n# end\n", ""},
		{"new name next to block lists", "- name: x\n  dmap:\n    ~A:\n    - a\n", add("w", "b", "b", "c"), "- name: x\n  dmap:\n    ~A:\n    - a\n- name: w\n  dmap:\n    ~B:\n    - b\n    - c\n", ""},
		{"new name after an alias", "- &a {name: x, dmap: {}}\n- *a\n", add("w", "b", "b"), "- &a {name: x, dmap: {}}\n- *a\n- name: w\n  dmap:\n    \"~B\": [\"b\"]\n", ""},
		{"tag is there", "- name: x\n  dmap: {\"~A\": [\"1\"]}\n", add("x", "a", "1"), "- name: x\n  dmap: {\"~A\": [\"1\"]}\n", ""},
		{"remove a tag", "- name: x\n  dmap:\n    \"~A\": [\"1\", \"2\", \"3\"]\n", untag("x", "a", "2"), "- name: x\n  dmap:\n    \"~A\": [\"1\", \"3\"]\n", ""},
		{"remove the first tag", "- name: x\n  dmap:\n    \"~A\": [\"1\", \"2\"]\n", untag("x", "a", "1"), "- name: x\n  dmap:\n    \"~A\": [\"2\"]\n", ""},
		{"remove the only tag", "- name: x\n  dmap:\n    \"~A\": [\"1\"] # c\n", untag("x", "a", "1"), "- name: x\n  dmap:\n    \"~A\": [] # c\n", ""},
		{"remove from a block list", "- name: x\n  dmap:\n    ~A:\n    - a\n    - b # c\n", untag("x", "a", "b"), "- name: x\n  dmap:\n    ~A:\n    - a\n", ""},
		{"remove the only one of a block list", "- name: x\n  dmap:\n    ~A:\n    - a\n", untag("x", "a", "a"), "- name: x\n  dmap:\n    ~A: []\n", ""},
		{"remove a digest", "- name: x\n  dmap:\n    ~A: []\n    ~B: [\n      'b']\n    ~C: ['c']\n", remove("x", "b"), "- name: x\n  dmap:\n    ~A: []\n    ~C: ['c']\n", ""},
		{"remove the only digest", "- name: x\n  dmap:\n    ~A: []\n", remove("x", "a"), "- name: x\n  dmap: {}\n", ""},
		{"remove from JSON", `[{"name": "x", "dmap": {"~A": ["1"], "~B": ["2"]}}]`, remove("x", "a"), `[{"name": "x", "dmap": {"~B": ["2"]}}]`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := manifest.NewImagesText([]byte(long(tt.text)), true)
			err := tt.edit(text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				tt.want = tt.text
			} else if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(long(tt.want), string(text.Bytes())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEditPlain(t *testing.T) {
	t.Parallel()
	const head = "registries: [{name: r.io, src: true}, {name: d.io}]\n"
	for _, tt := range [][2]string{
		{head + "images: []\nsources: []\n", head + "images:\n- name: x\n  dmap:\n    \"~A\": [\"1\"]\nsources: []\n"},
		{head + "images:\nsources: []\n", head + "images:\n- name: x\n  dmap:\n    \"~A\": [\"1\"]\nsources: []\n"},
		{head + "sources:\n- {} # c\n\n# end\n", head + "sources:\n- {} # c\nimages:\n- name: x\n  dmap:\n    \"~A\": [\"1\"]\n\n# end\n"},
		{"  registries: []\n  sources: []", "  registries: []\n  sources: []\n  images:\n  - name: x\n    dmap:\n      \"~A\": [\"1\"]\n"},
		{`{"registries": [], "sources": []}`, `{"registries": [], "sources": [], "images": [{"name": "x", "dmap": {"~A": ["1"]}}]}`},
		{`{"registries": [], "images": [], "sources": []}`, `{"registries": [], "images": [{"name": "x", "dmap": {"~A": ["1"]}}], "sources": []}`},
		{`{"images": null, "sources": []}`, `{"images": [{"name": "x", "dmap": {"~A": ["1"]}}], "sources": []}`},
		{
			head + "images: # c\n  - name: y\n    dmap: {}\n---\n" + head + "sources: []\nimages:\n  - name: y\n    dmap:\n      \"~B\": []\n",
			head + "images: # c\n  - name: y\n    dmap: {}\n---\n" + head + "sources: []\nimages:\n  - name: y\n    dmap:\n      \"~B\": []\n  - name: x\n    dmap:\n      \"~A\": [\"1\"]\n",
		},
	} {
		text := manifest.NewImagesText([]byte(long(tt[0])), false)
		if err := text.Add("x", manifest.Addition{Digest: image.Hash(dig("a")), Tags: []string{"1"}}); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(long(tt[1]), string(text.Bytes())); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// TestPlace adds a digest, or an entry, to lists that are sorted, or are not.
func TestPlace(t *testing.T) {
	t.Parallel()
	digests := []string{"1", "2", "3", "4", "5"}
	for name, tt := range map[string]struct {
		tags []string // of the digests of x, in order; a minus: none
		tag  string
		want int // the index of the new digest
	}{
		"versions, the newest":     {[]string{"v1.8.0", "v1.9.0", "v1.10.0"}, "v1.11.0", 3},
		"versions, in between":     {[]string{"v1.8.0", "v1.9.0", "v1.10.0"}, "v1.9.1", 2},
		"versions, the oldest":     {[]string{"v1.8.0", "v1.9.0", "v1.10.0"}, "v1.7.0", 0},
		"versions downwards":       {[]string{"v1.10.0", "v1.9.0", "v1.8.0"}, "v1.11.0", 0},
		"versions downwards, old":  {[]string{"v1.10.0", "v1.9.0", "v1.8.0"}, "v1.2.0", 3},
		"one of two tags":          {[]string{"v1.8.0", "v1.9.0", "v1.10.0 latest"}, "v1.9.1", 2},
		"as text":                  {[]string{"v1.10.0", "v1.8.0", "v1.9.0"}, "v1.11.0", 1},
		"as text downwards":        {[]string{"c", "b", "a"}, "d", 3},
		"dates":                    {[]string{"20240101-a", "20240102-b", "20240301-c"}, "20240401-d", 3},
		"not a version":            {[]string{"v1.8.0", "v1.9.0", "v1.10.0"}, "latest", 3},
		"too short":                {[]string{"v2.0.0", "v1.0.0"}, "v3.0.0", 2},
		"without order":            {[]string{"v1.9.0", "v1.8.0", "v1.10.0"}, "v1.8.1", 3},
		"a digest without a tag":   {[]string{"v1.8.0", "-", "v1.9.0"}, "v1.8.1", 3},
		"equal ones stay in order": {[]string{"a", "b", "b", "c"}, "b", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lines []string
			for i, tags := range tt.tags {
				list := "[]"
				if tags != "-" {
					list = "[" + strings.ReplaceAll(tags, " ", ", ") + "]"
				}
				lines = append(lines, "    "+dig(digests[i])+": "+list+" # "+digests[i])
			}
			head, tail := "- name: x # c\n  dmap: # d\n", "\n# end\n"
			text := manifest.NewImagesText([]byte(head+strings.Join(lines, "\n")+tail), true)
			if err := text.Add("x", manifest.Addition{Digest: image.Hash(dig("a")), Tags: []string{tt.tag}}); err != nil {
				t.Fatal(err)
			}
			added := "    " + dig("a") + ": [" + tt.tag + "]"
			if strings.HasPrefix(tt.tag, "2") || strings.Contains(tt.tags[0], "2024") {
				added = "    " + dig("a") + ": [\"" + tt.tag + "\"]"
			}
			want := head + strings.Join(slices.Insert(lines, tt.want, added), "\n") + tail
			if diff := cmp.Diff(want, string(text.Bytes())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPlaceOfEntry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, list, add, want string }{
		{"in between", "# a\n- name: a\n  dmap: {}\n# b\n- name: b\n  dmap: {}\n# d\n- name: d\n  dmap: {}\n", "c",
			"# a\n- name: a\n  dmap: {}\n# b\n- name: b\n  dmap: {}\n- name: c\n  dmap:\n    \"~A\": []\n# d\n- name: d\n  dmap: {}\n"},
		{"first, with empty lines", "- name: b\n  dmap: {}\n\n- name: c\n  dmap: {}\n\n- name: d\n  dmap: {}\n", "a",
			"- name: a\n  dmap:\n    \"~A\": []\n\n- name: b\n  dmap: {}\n\n- name: c\n  dmap: {}\n\n- name: d\n  dmap: {}\n"},
		{"in between, with empty lines", "- name: a\n  dmap: {}\n\n- name: c\n  dmap: {}\n\n- name: d\n  dmap: {}\n", "b",
			"- name: a\n  dmap: {}\n\n- name: b\n  dmap:\n    \"~A\": []\n\n- name: c\n  dmap: {}\n\n- name: d\n  dmap: {}\n"},
		{"without order", "- name: c\n  dmap: {}\n- name: a\n  dmap: {}\n- name: d\n  dmap: {}\n", "b",
			"- name: c\n  dmap: {}\n- name: a\n  dmap: {}\n- name: d\n  dmap: {}\n- name: b\n  dmap:\n    \"~A\": []\n"},
	} {
		text := manifest.NewImagesText([]byte(tt.list), true)
		if err := text.Add(tt.add, manifest.Addition{Digest: image.Hash(dig("a"))}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(long(tt.want), string(text.Bytes())); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	const list = "- name: x\n  dmap:\n    \"~A\": [\"1\", \"latest\"]\n- name: x\n  dmap:\n    \"~B\": [\"2\", \"stable\"]\n- name: y\n  dmap:\n    \"~A\": [\"latest\"]\n"
	fixed := func(tag string) string {
		if tag == "latest" || tag == "stable" {
			return ""
		}
		return "r.example/prod"
	}
	text := manifest.NewImagesText([]byte(long(list)), true)
	moved, err := text.Move("x", fixed, manifest.Addition{Digest: image.Hash(dig("c")), Tags: []string{"3", "stable", "latest"}})
	want := []manifest.Moved{{Tag: "latest", From: image.Hash(dig("a")), To: image.Hash(dig("c"))}, {Tag: "stable", From: image.Hash(dig("b")), To: image.Hash(dig("c"))}}
	if diff := cmp.Diff(want, moved); err != nil || diff != "" {
		t.Errorf("got error %v (-want +got)\n%s", err, diff)
	}
	after := "- name: x\n  dmap:\n    \"~A\": [\"1\"]\n- name: x\n  dmap:\n    \"~B\": [\"2\"]\n    \"~C\": [\"3\", \"stable\", \"latest\"]\n- name: y\n  dmap:\n    \"~A\": [\"latest\"]\n"
	if diff := cmp.Diff(long(after), string(text.Bytes())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = text.Move("x", fixed, manifest.Addition{Digest: image.Hash(dig("a")), Tags: []string{"stable", "2"}})
	if err == nil || !strings.Contains(err.Error(), "tag 2 of x belongs to "+dig("b")+" and may not move to "+dig("a")+": it is not in mutable-tags of r.example/prod") {
		t.Errorf("got error %v, want one about tag 2", err)
	}
	if diff := cmp.Diff(long(after), string(text.Bytes())); diff != "" {
		t.Errorf("after the error (-want +got)\n%s", diff)
	}
}

// TestAddSeveral adds digests in one edit: each goes to its place.
func TestAddSeveral(t *testing.T) {
	t.Parallel()
	one := func(c string, tags ...string) manifest.Addition {
		return manifest.Addition{Digest: image.Hash(dig(c)), Tags: tags}
	}
	for _, tt := range []struct{ name, list, want string }{
		{"upwards", "- name: x\n  dmap:\n    1: [v1.0.0]\n    2: [v1.2.0]\n    3: [v1.3.0]\n",
			"- name: x\n  dmap:\n    e: [v0.9.0]\n    1: [v1.0.0]\n    c: [v1.1.0, a]\n    d: [v1.1.1]\n    2: [v1.2.0]\n    3: [v1.3.0]\n    b: [v1.4.0]\n    f: [x]\n    0: []\n"},
		{"downwards", "- name: x\n  dmap:\n    3: [v1.3.0]\n    2: [v1.2.0]\n    1: [v1.0.0]\n",
			"- name: x\n  dmap:\n    b: [v1.4.0]\n    3: [v1.3.0]\n    2: [v1.2.0]\n    d: [v1.1.1]\n    c: [v1.1.0, a]\n    1: [v1.0.0]\n    e: [v0.9.0]\n    f: [x]\n    0: []\n"},
		{"without order", "- name: x\n  dmap:\n    2: [v1.2.0]\n",
			"- name: x\n  dmap:\n    2: [v1.2.0]\n    e: [v0.9.0]\n    f: [x]\n    c: [v1.1.0, a]\n    0: []\n    d: [v1.1.1]\n    b: [v1.4.0]\n"},
	} {
		spell := func(s string) string {
			for _, c := range strings.Split("0123bcdef", "") {
				s = strings.ReplaceAll(s, " "+c+": ", " "+dig(c)+": ")
			}
			return s
		}
		text := manifest.NewImagesText([]byte(spell(tt.list)), true)
		err := text.Add("x", one("e", "v0.9.0"), one("f", "x"), one("c", "v1.1.0", "a"), one("0"), one("2", "v1.2.0"), one("d", "v1.1.1"), one("b", "v1.4.0"))
		if diff := cmp.Diff(spell(tt.want), string(text.Bytes())); err != nil || diff != "" {
			t.Errorf("%s: error %v (-want +got)\n%s", tt.name, err, diff)
		}
	}
}
