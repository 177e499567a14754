package git_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// sample is main = m1, m2, m3, a merge of f1, and m4; f1 is newer than m3.
type sample struct {
	*gittest.Repository
	names map[string]string // id -> name
	ids   map[string]string
}

func newSample(t *testing.T) *sample {
	t.Helper()
	s := &sample{gittest.New(t), map[string]string{}, map[string]string{}}
	add := func(name string, second int, parents ...string) {
		for i := range parents {
			parents[i] = s.ids[parents[i]]
		}
		id := s.Commit(second, map[string]string{"a/b/file": name, "top": "same"}, parents...)
		s.names[id], s.ids[name] = name, id
	}
	add("m1", 10)
	add("m2", 20, "m1")
	add("f1", 40, "m1")
	add("m3", 30, "m2")
	add("M", 50, "m3", "f1")
	add("m4", 60, "M")
	s.Branch("main", s.ids["m4"])
	return s
}

// walk returns the names of the commits of a walk and the error.
func (s *sample) walk(t *testing.T, dir, tip string, all bool) (string, error) {
	t.Helper()
	var names []string
	for c, err := range open(t, dir).Walk(t.Context(), s.ids[tip], all) {
		if err != nil {
			return strings.Join(names, " "), err
		}
		names = append(names, s.names[c.ID])
	}
	return strings.Join(names, " "), nil
}

func TestWalk(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for all, want := range map[bool]string{false: "m4 M m3 m2 m1", true: "m4 M f1 m3 m2 m1"} {
		if got, err := s.walk(t, s.Dir, "m4", all); err != nil || got != want {
			t.Errorf("all=%t: got %q %v, want %q", all, got, err, want)
		}
	}
	if _, err := s.walk(t, s.Dir, "none", false); err == nil {
		t.Error("got no error for a walk from a missing commit, want one")
	}
	for c, err := range open(t, s.Dir).Walk(t.Context(), s.ids["M"], false) {
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{s.ids["m3"], s.ids["f1"]}, c.Parents); diff != "" || c.Subject != "commit of second 50" || c.When.Second() != 50 {
			t.Errorf("%q of %s: parents (-want +got)\n%s", c.Subject, c.When, diff)
		}
		break
	}
}

func TestWalkShallow(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	id := func(names ...string) (ids []string) {
		for _, n := range names {
			ids = append(ids, s.ids[n])
		}
		return ids
	}
	two := s.Shallow("main", id("m4", "M"), id("M")...)
	deep := s.Shallow("main", id("m4", "M", "m3", "f1"), id("m3", "f1")...)
	tests := map[string]struct {
		repo *gittest.Repository
		all  bool
		want string
		at   string
	}{
		"first parents":                  {two, false, "m4 M", "M"},
		"all":                            {two, true, "m4 M", "M"},
		"first parents, further":         {deep, false, "m4 M m3", "m3"},
		"all, to the first that is cut":  {deep, true, "m4 M f1", "f1"},
		"cut where it does end, anyway":  {s.Shallow("main", id("m2", "m1"), id("m1")...), false, "m2 m1", ""},
		"listed, although its parent is": {s.Shallow("main", id("m3", "m2", "m1"), id("m2")...), false, "m3 m2", "m2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tip, err := open(t, tt.repo.Dir).Resolve("main")
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.walk(t, tt.repo.Dir, s.names[tip], tt.all)
			var cut *git.ShallowError
			if tt.at != "" && (!errors.As(err, &cut) || cut.At != s.ids[tt.at]) || tt.at == "" && err != nil || got != tt.want {
				t.Errorf("got %q and %v, want %q and an end at %s", got, err, tt.want, s.ids[tt.at])
			}
		})
	}
	r := open(t, deep.Dir)
	if ok, err := r.IsAncestor(t.Context(), s.ids["m3"], s.ids["m4"]); err != nil || !ok {
		t.Errorf("m3 is an ancestor of m4: got %t and error %v, want true", ok, err)
	}
	var cut *git.ShallowError
	if _, err := r.IsAncestor(t.Context(), s.ids["m1"], s.ids["m4"]); !errors.As(err, &cut) {
		t.Errorf("error: got %v, want a ShallowError", err)
	}
}

func TestIsAncestor(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	r := open(t, s.Dir)
	for pair, want := range map[string]bool{"m1 m4": true, "f1 M": true, "m4 m4": true, "m4 M": false, "f1 m3": false, "m3 f1": false} {
		a, b, _ := strings.Cut(pair, " ")
		if got, err := r.IsAncestor(t.Context(), s.ids[a], s.ids[b]); err != nil || got != want {
			t.Errorf("%s: got %t %v, want %t", pair, got, err, want)
		}
	}
}

func TestSubtrees(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t)
	entry := func(files map[string]string) git.LogEntry {
		id := repo.Commit(1, files)
		found, err := open(t, repo.Dir).Find([]string{id})
		if err != nil || len(found[id]) != 1 {
			t.Fatalf("got %v, %v, want one of %s", found, err, id)
		}
		return found[id][0]
	}
	paths := []string{"cmd", "go.mod", "./cmd/x/", "none", "go.mod/below", "none/below", "."}
	at := func(files map[string]string) []string {
		found, err := open(t, repo.Dir).Subtrees(entry(files).Tree, paths)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	a := at(map[string]string{"cmd/x/main.go": "1", "cmd/y.go": "1", "go.mod": "1", "docs/a.md": "1"})
	b := at(map[string]string{"cmd/x/main.go": "1", "cmd/y.go": "2", "go.mod": "1", "docs/a.md": "2"})
	var same []bool
	for i := range paths {
		same = append(same, a[i] == b[i])
	}
	if diff := cmp.Diff([]bool{false, true, true, true, true, true, false}, same); diff != "" {
		t.Errorf("which of %v are the same (-want +got):\n%s", paths, diff)
	}
	if !slices.Equal(a[3:6], []string{"", "", ""}) || a[0] == "" || a[1] == "" || a[2] == "" {
		t.Errorf("got %q, want three identities, then three absent", a)
	}
	if _, err := open(t, repo.Dir).Subtrees(strings.Repeat("1", 40), paths); err == nil {
		t.Error("got no error for a missing tree, want one")
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, repo := range map[string]*gittest.Repository{"loose": gittest.New(t), "packed": gittest.NewPacked(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byStart := map[string][]string{}
			for i := range 60 {
				id := repo.Commit(i, map[string]string{"file": fmt.Sprint(i)})
				byStart[id[:1]] = append(byStart[id[:1]], id)
				byStart[id[:7]] = append(byStart[id[:7]], id)
				byStart[id] = []string{id}
			}
			absent := strings.Repeat("0", 40)
			byStart[absent], byStart[absent+"0"], byStart["0000000"] = nil, nil, nil
			if name == "packed" {
				repo.Pack()
			}
			r := open(t, repo.Dir)
			check := func(asked ...string) {
				t.Helper()
				found, err := r.Find(asked)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range asked {
					var got []string
					for _, c := range found[a] {
						got = append(got, c.ID)
					}
					slices.Sort(byStart[a])
					if diff := cmp.Diff(byStart[a], got); diff != "" {
						t.Errorf("%s, one of %d (-want +got):\n%s", a, len(asked), diff)
					}
				}
			}
			var all []string
			for a := range byStart {
				all = append(all, a)
				check(a)
			}
			check(all...)
			if _, err := r.Find([]string{"no hex"}); err == nil {
				t.Error("got no error for an invalid abbreviation, want one")
			}
		})
	}
}

// BenchmarkHistory measures lookups in a history of 50,000 commits.
func BenchmarkHistory(b *testing.B) {
	repo := gittest.NewPacked(b)
	ids := []string{repo.Commit(0, map[string]string{"file": "0"})}
	for i := range 50_000 {
		ids = append(ids, repo.Commit(i+1, map[string]string{"file": fmt.Sprint(i % 1000), "dir/f": fmt.Sprint(i)}, ids[i]))
	}
	tip := ids[len(ids)-1]
	repo.Branch("main", tip)
	repo.Pack()
	ask := func(name string, question func(*git.Repository) error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := git.Open(repo.Dir)
				if err == nil {
					err = question(r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	ask("near", func(r *git.Repository) error {
		n := 0
		for _, err := range r.Walk(b.Context(), tip, false) {
			if n++; n == 10 || err != nil {
				return err
			}
		}
		return nil
	})
	ask("whole", func(r *git.Repository) error {
		_, err := r.IsAncestor(b.Context(), "none", tip)
		return err
	})
	ask("find", func(r *git.Repository) error {
		_, err := r.Find([]string{tip[:7]})
		return err
	})
	ask("find 1000", func(r *git.Repository) error {
		var some []string
		for _, id := range ids[:1000] {
			some = append(some, id[:7])
		}
		_, err := r.Find(some)
		return err
	})
}

func TestEntries(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	r := open(t, s.Dir)
	for c, err := range r.Walk(t.Context(), s.ids["m4"], false) {
		if err != nil {
			t.Fatal(err)
		}
		for dir, want := range map[string]string{".": "a top", "a": "b", "a/b": "file", "top": "", "none": "", "a/none": ""} {
			entries, err := r.Entries(c.Tree, dir)
			got := slices.Sorted(maps.Keys(entries))
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("Entries(%q): got %v, error %v, want %q", dir, got, err, want)
			}
		}
		entries, err := r.Entries(c.Tree, "a/b")
		if err != nil {
			t.Fatal(err)
		}
		if text, ok, err := r.Text(entries["file"]); err != nil || !ok || string(text) != "m4" {
			t.Errorf("Text: got %q, %t, error %v, want m4", text, ok, err)
		}
		for _, entry := range []string{"", "120000 " + c.Tree, "40000 " + c.Tree} {
			if text, ok, err := r.Text(entry); err != nil || ok {
				t.Errorf("Text(%q): got %q, %t, error %v, want no text", entry, text, ok, err)
			}
		}
		break
	}
}
