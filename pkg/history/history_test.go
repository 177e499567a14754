package history_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/history"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

const (
	file       = "top/manifests/a/promoter-manifest.yaml"
	list       = "top/images/a/images.yaml"
	registries = "registries: [{name: r.example/staging, src: true}, {name: r.example/prod}, {name: eu.example/prod}]\n"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// images is a list of the image apple with tags by digest.
func images(entries ...string) string {
	text := "# a list\n- name: apple\n  dmap:\n"
	for _, e := range entries {
		d, tags, _ := strings.Cut(e, " ")
		text += fmt.Sprintf("    %q: [%s]\n", digest(d), tags)
	}
	return text
}

// sample is a history of a thin manifest directory.
type sample struct {
	*gittest.Repository
	names map[string]string // of commits
	ids   map[string]string
	files map[string]string
	tip   string
	at    load.Manifests // of newHistory
}

// workTree returns an additional work tree of a repository, with an empty directory top
// and an empty file promote.yaml.
func workTree(t testing.TB, r *gittest.Repository) string {
	t.Helper()
	dir := t.TempDir()
	err := errors.Join(os.WriteFile(dir+"/.git", []byte("gitdir: "+r.Dir), 0o600), os.WriteFile(dir+"/promote.yaml", nil, 0o600), os.Mkdir(dir+"/top", 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newSample(t *testing.T) *sample {
	t.Helper()
	s := &sample{Repository: gittest.New(t), names: map[string]string{}, ids: map[string]string{}, files: map[string]string{"README.md": "x"}}
	s.commit("start", "Start", nil)
	s.commit("add", "Add apple (#3)", map[string]string{file: registries, list: images("a 1.0, latest")})
	s.commit("other", "Write a page (#4)", map[string]string{"README.md": "y"})
	s.commit("comment", "Explain the list (#5)", map[string]string{list: "# more\n" + images("a 1.0, latest")})
	s.commit("broken", "Break it", map[string]string{list: "- ["})
	// The merge is a commit of the first-parent history, the merged one is not.
	side := s.CommitBy("bob", "Release 2.0", 100, merged(s.files, map[string]string{list: images("a 1.0", "b 2.0, latest")}), s.tip)
	s.commit("merge", "Merge pull request #7 from bob/release", map[string]string{list: images("a 1.0", "b 2.0, latest")}, side)
	s.commit("rename", "Give apple to another team (#8)", map[string]string{
		file: "", list: "", "top/manifests/z/promoter-manifest.yaml": registries, "top/images/z/images.yaml": images("a 1.0", "b 2.0, latest"),
	})
	s.commit("remove", "Revert \"Add apple (#3)\" (#9)", map[string]string{"top/images/z/images.yaml": images("b 2.0, latest")})
	s.Branch("main", s.tip)
	return s
}

func merged(files, changes map[string]string) map[string]string {
	files = maps.Clone(files)
	maps.Copy(files, changes)
	maps.DeleteFunc(files, func(_, text string) bool { return text == "" })
	return files
}

func (s *sample) commit(name, message string, changes map[string]string, merges ...string) {
	s.files = merged(s.files, changes)
	var parents []string
	if s.tip != "" {
		parents = append([]string{s.tip}, merges...)
	}
	s.tip = s.CommitBy("ann", message, 1000*(1+len(s.names)), s.files, parents...)
	s.names[s.tip], s.ids[name] = name, s.tip
}

// lines returns a line for each event.
func (s *sample) lines(events []history.Event) []string {
	lines := []string{}
	for _, e := range events {
		change := strings.TrimPrefix(e.Digest, "sha256:")[:1]
		if e.Previous != "" {
			change = strings.TrimPrefix(e.Previous, "sha256:")[:1] + ">" + change
		}
		lines = append(lines, fmt.Sprintf("%s %s:%s %s %s:%d %s #%d %s", e.Action, e.Repository, e.Tag, change, e.File, e.Line, s.names[e.Commit], e.PullRequest, e.Author))
	}
	return lines
}

const ann = " ann <ann@example.com>"

func TestOf(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	tests := map[string][]string{
		"r.example/prod/apple:latest": {
			"added r.example/prod/apple:latest a " + list + ":4 add #3" + ann,
			"moved r.example/prod/apple:latest a>b " + list + ":5 merge #7" + ann,
		},
		"r.example/prod/apple:1.0": {
			"added r.example/prod/apple:1.0 a " + list + ":4 add #3" + ann,
			"removed r.example/prod/apple:1.0 a top/images/z/images.yaml:4 remove #9" + ann,
		},
		digest("b"): {
			"added eu.example/prod/apple:2.0 b " + list + ":5 merge #7" + ann,
			"moved eu.example/prod/apple:latest a>b " + list + ":5 merge #7" + ann,
			"added r.example/prod/apple:2.0 b " + list + ":5 merge #7" + ann,
			"moved r.example/prod/apple:latest a>b " + list + ":5 merge #7" + ann,
		},
		"r.example/prod/apple@" + digest("a"): {
			"added r.example/prod/apple:1.0 a " + list + ":4 add #3" + ann,
			"added r.example/prod/apple:latest a " + list + ":4 add #3" + ann,
			"moved r.example/prod/apple:latest a>b " + list + ":5 merge #7" + ann,
			"removed r.example/prod/apple:1.0 a top/images/z/images.yaml:4 remove #9" + ann,
		},
		"r.example/prod/apple:1.0@" + digest("b"): {},
		"r.example/prod/pear":                     {},
		"r.example/staging/apple:1.0":             {},
	}
	for ref, want := range tests {
		t.Run(ref, func(t *testing.T) {
			t.Parallel()
			q, err := history.Parse(ref)
			if err != nil {
				t.Fatal(err)
			}
			events, err := history.Of(t.Context(), load.Manifests{Dir: workTree(t, s.Repository) + "/top"}, q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, s.lines(events)); diff != "" {
				t.Errorf("events (-want +got)\n%s", diff)
			}
		})
	}
}

// Most commits only add lines. They must count as if the whole file were parsed.
func TestLinesOfOthers(t *testing.T) {
	t.Parallel()
	steps := []struct {
		entries []string
		want    string // the place of the tag 1.0 if it were removed then
	}{
		{[]string{"b 1.0"}, "4"},
		{[]string{"a 0.9", "b 1.0"}, "5"},
		{[]string{"a 0.9", "b 1.0", "c 2"}, "5"},
		{[]string{"b 1.0", "c 2"}, "4"},
		{[]string{"d 3, 4", "e 1.0.1", "b 1.0", "c 2"}, "6"},
		{[]string{"d 3, 4", "d 5", "b 1.0", "c 2"}, "6"}, // broken
		{[]string{"d 3, 4", "d 5", "c 2"}, "6"},          // still broken
	}
	for n := range steps {
		s := &sample{Repository: gittest.New(t), names: map[string]string{}, ids: map[string]string{}, files: map[string]string{file: registries}}
		for i, step := range steps[:n+1] {
			s.commit(fmt.Sprint(i), "Change it", map[string]string{list: images(step.entries...)})
		}
		s.commit("last", "Remove it", map[string]string{list: images("c 2")})
		s.Branch("main", s.tip)
		at, q := load.Manifests{Dir: workTree(t, s.Repository) + "/top"}, history.Query{Repository: "r.example/prod/apple", Tag: "1.0"}
		events, err := history.Of(t.Context(), at, q)
		want := []string{
			"added r.example/prod/apple:1.0 b " + list + ":4 0 #0" + ann,
			"removed r.example/prod/apple:1.0 b " + list + ":" + steps[n].want + " last #0" + ann,
		}
		if diff := cmp.Diff(want, s.lines(events)); diff != "" || err != nil {
			t.Errorf("after %d steps: error %v, events (-want +got)\n%s", n+1, err, diff)
		}
	}
}

// An entry with a comment is not understood without the rest of the file. The history
// of lists must be the same with comments and without.
func TestEdits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		lines := []string{"- name: apple", "  dmap:", "- name: pear", "  dmap:"}
		var texts []string
		for range 14 {
			for range rnd.IntN(3) {
				lines = randomEdit(rnd, lines)
			}
			texts = append(texts, strings.Join(lines, "\n")+"\n")
		}
		queries := []history.Query{
			{Repository: "r.example/prod/apple"}, {Repository: "r.example/prod/pear"}, {Repository: "r.example/prod/apple", Tag: "v1"},
			{Digest: digest("1")}, {Repository: "eu.example/prod/pear", Digest: digest("2")}, {},
		}
		edited, parsed := newHistory(t, texts), newHistory(t, commented(texts))
		for _, q := range queries {
			got, want := edited.lines(edited.query(t, q)), parsed.lines(parsed.query(t, q))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seed %d, %+v: events (-want +got)\n%s%s", seed, q, diff, strings.Join(texts, "---\n"))
			}
		}
	}
}

// randomEdit adds or removes a line below a line of a dmap.
func randomEdit(rnd *rand.Rand, lines []string) []string {
	at := 1 + rnd.IntN(len(lines)-1)
	isEntry := strings.Contains(lines[at], "sha256")
	switch {
	case isEntry && rnd.IntN(3) == 0:
		return slices.Delete(slices.Clone(lines), at, at+1)
	case !isEntry && !strings.Contains(lines[at], "dmap"):
		return lines
	}
	lists := []string{"", `"v1"`, `'v2', "v3"`, "v1", "v4 , v5", "1.0", `"1.0"`, `"x",`, "null", `"v6", "v6"`, `"v7`, `"\x76\x31"`}
	d := fmt.Sprintf(`"%s"`, digest(strconv.Itoa(rnd.IntN(6))))
	if rnd.IntN(2) == 0 {
		d = strings.Trim(d, `"`)
	}
	indent := "    "
	if rnd.IntN(20) == 0 {
		indent = "      "
	}
	return slices.Insert(slices.Clone(lines), at+1, indent+d+": ["+lists[rnd.IntN(len(lists))]+"]")
}

// commented returns texts with a comment in each entry.
func commented(texts []string) []string {
	texts = slices.Clone(texts)
	for i, text := range texts {
		texts[i] = strings.ReplaceAll(text, "]\n", "] # a comment\n")
	}
	return texts
}

// newHistory returns a history in which each commit has another text of the list.
func newHistory(t *testing.T, texts []string) *sample {
	t.Helper()
	s := &sample{Repository: gittest.NewPacked(t), names: map[string]string{}, ids: map[string]string{}, files: map[string]string{file: registries}}
	for i, text := range texts {
		s.commit(fmt.Sprint(i), "Change it", map[string]string{list: text})
	}
	s.Branch("main", s.tip)
	s.Pack()
	s.at = load.Manifests{Dir: workTree(t, s.Repository) + "/top"}
	return s
}

// query returns the events of a query. The query {} is that of OlderThan.
func (s *sample) query(t *testing.T, q history.Query) (events []history.Event) {
	t.Helper()
	var err error
	if q == (history.Query{}) {
		events, err = history.OlderThan(t.Context(), s.at, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	} else {
		events, err = history.Of(t.Context(), s.at, q)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.Action == history.Removed {
			events[i].Line = 0 // the last one may be in a broken file
		}
	}
	return events
}

func TestOlderThan(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for second, want := range map[int][]string{
		10_000: {"added r.example/prod/apple:2.0 b " + list + ":5 merge #7" + ann, "moved r.example/prod/apple:latest a>b " + list + ":5 merge #7" + ann},
		2_001:  {},
	} {
		start := time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)
		events, err := history.OlderThan(t.Context(), load.Manifests{Dir: workTree(t, s.Repository) + "/top"}, start)
		if diff := cmp.Diff(want, s.lines(events)); diff != "" || err != nil {
			t.Errorf("before second %d: error %v, events (-want +got)\n%s", second, err, diff)
		}
	}
}

// A shallow clone does not know when what its first commit has was added.
func TestShallow(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	clone := s.Shallow("main", []string{s.ids["remove"], s.ids["rename"], s.ids["merge"], s.ids["broken"], s.ids["comment"]}, s.ids["comment"])
	at := load.Manifests{Dir: workTree(t, clone) + "/top"}
	var cut *git.ShallowError
	for ref, known := range map[string]bool{"r.example/prod/apple:2.0": true, "r.example/prod/apple:1.0": false, "r.example/prod/pear": false} {
		q, err := history.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		if events, err := history.Of(t.Context(), at, q); errors.As(err, &cut) == known || known && len(events) != 1 {
			t.Errorf("%s: got %v, error %v, want it known: %t", ref, s.lines(events), err, known)
		}
	}
}

// What a shallow clone has since its first commit may be older than any window.
func TestShallowOlderThan(t *testing.T) {
	t.Parallel()
	s := &sample{Repository: gittest.New(t), names: map[string]string{}, ids: map[string]string{}, files: map[string]string{}}
	s.commit("add", "Add it", map[string]string{file: registries, list: images("a 1.0")})
	s.commit("broken", "Break it", map[string]string{list: "- ["})
	s.commit("repair", "Repair it", map[string]string{list: images("a 1.0")})
	s.commit("more", "Add more", map[string]string{list: images("a 1.0", "b 2.0")})
	s.Branch("main", s.tip)
	for first, known := range map[string]bool{"add": true, "broken": false, "repair": false, "more": false, "": true} {
		all := []string{"add", "broken", "repair", "more"}
		repository := s.Repository
		if i := slices.Index(all, first); i >= 0 {
			var ids []string
			for _, name := range all[i:] {
				ids = append(ids, s.ids[name])
			}
			slices.Reverse(ids)
			repository = s.Shallow("main", ids, s.ids[first])
		}
		at := load.Manifests{Dir: workTree(t, repository) + "/top"}
		var cut *git.ShallowError
		if events, err := history.OlderThan(t.Context(), at, time.Unix(0, 0)); errors.As(err, &cut) == known || len(events) > 0 {
			t.Errorf("from %q: got %v, error %v, want it known: %t", first, s.lines(events), err, known)
		}
		for ref, known := range map[string]bool{"r.example/prod/apple:1.0": known, "r.example/prod/apple:2.0": known || first != "more"} {
			q, err := history.Parse(ref)
			if err != nil {
				t.Fatal(err)
			}
			if events, err := history.Of(t.Context(), at, q); errors.As(err, &cut) == known || known && len(events) != 1 {
				t.Errorf("%s from %q: got %v, error %v, want it known: %t", ref, first, s.lines(events), err, known)
			}
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	s := &sample{Repository: gittest.New(t), names: map[string]string{}, ids: map[string]string{}, files: map[string]string{}}
	plain := func(entries ...string) map[string]string {
		return map[string]string{"promote.yaml": registries + "images:\n" + images(entries...)}
	}
	s.commit("add", "Add it (#1)", plain("a 1.0", "c "))
	s.commit("move", "Move it", plain("b 1.0", "c "))
	s.Branch("main", s.tip)
	for ref, want := range map[string][]string{
		"r.example/prod/apple:1.0":            {"added r.example/prod/apple:1.0 a promote.yaml:6 add #1" + ann, "moved r.example/prod/apple:1.0 a>b promote.yaml:6 move #0" + ann},
		"r.example/prod/apple@" + digest("c"): {"added r.example/prod/apple: c promote.yaml:7 add #1" + ann},
	} {
		q, err := history.Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		events, err := history.Of(t.Context(), load.Manifests{File: workTree(t, s.Repository) + "/promote.yaml"}, q)
		if diff := cmp.Diff(want, s.lines(events)); diff != "" || err != nil {
			t.Errorf("%s: error %v, events (-want +got)\n%s", ref, err, diff)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]history.Query{
		digest("a"):                        {Digest: digest("a")},
		"r.example:5000/apple":             {Repository: "r.example:5000/apple"},
		"r.example:5000/x/apple:1.0":       {Repository: "r.example:5000/x/apple", Tag: "1.0"},
		"r.example/apple:1@" + digest("a"): {Digest: digest("a"), Repository: "r.example/apple", Tag: "1"},
		"apple":                            {},
		"apple:1.0":                        {},
		"sha256:abc":                       {},
		"r.example/apple:":                 {},
		"r.example/apple@x":                {},
		"":                                 {},
	} {
		got, err := history.Parse(text)
		if bad := want == (history.Query{}); (err != nil) != bad || !bad && got != want {
			t.Errorf("Parse(%q): got %v, error %v, want %v", text, got, err, want)
		}
	}
}

// The tree of Kubernetes has had about 8,000 commits that change 74 lists.
func BenchmarkOf(b *testing.B) {
	const teams, commits = 74, 8000
	r := gittest.NewPacked(b)
	files, tags, tip := map[string]string{}, make([][]string, teams), ""
	for i := range commits {
		team := i % teams
		if i%8 == 0 {
			team = 0 // a list of 90 KB
		}
		d := fmt.Sprintf("%064x", i)
		tags[team] = append(tags[team], fmt.Sprintf("    sha256:%s: [\"v1.%d\"]\n", d, i))
		files[fmt.Sprintf("manifests/t%d/promoter-manifest.yaml", team)] = registries
		files[fmt.Sprintf("images/t%d/images.yaml", team)] = fmt.Sprintf("- name: image-%d\n  dmap:\n%s", team, strings.Join(tags[team], ""))
		var parents []string
		if tip != "" {
			parents = []string{tip}
		}
		tip = r.CommitBy("ann", fmt.Sprintf("Promote v1.%d (#%d)", i, i+1), i, files, parents...)
	}
	r.Branch("main", tip)
	r.Pack()
	if out, err := exec.CommandContext(b.Context(), "git", "-C", r.Dir, "repack", "-adfq").CombinedOutput(); err != nil { // with deltas, as in a clone
		b.Fatalf("packing: %v\n%s", err, out)
	}
	at := load.Manifests{Dir: workTree(b, r)}
	b.Run("tag", func(b *testing.B) {
		for b.Loop() {
			events, err := history.Of(b.Context(), at, history.Query{Repository: "r.example/prod/image-0", Tag: "v1.8"})
			if err != nil || len(events) != 1 {
				b.Fatalf("got %v, error %v, want one event", events, err)
			}
		}
	})
	b.Run("digest", func(b *testing.B) {
		for b.Loop() {
			events, err := history.Of(b.Context(), at, history.Query{Digest: fmt.Sprintf("sha256:%064x", 16)})
			if err != nil || len(events) != 2 {
				b.Fatalf("got %v, error %v, want two events", events, err)
			}
		}
	})
	b.Run("older", func(b *testing.B) {
		for b.Loop() {
			events, err := history.OlderThan(b.Context(), at, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
			if err != nil || len(events) != commits {
				b.Fatalf("got %d events, error %v, want %d", len(events), err, commits)
			}
		}
	})
}
