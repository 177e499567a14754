package resolve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// graph is a complete history for the naive implementation.
type graph struct {
	commits map[string]Commit
	files   map[string]string // content of the directory cmd, by commit id
}

// reachable returns a commit and all its ancestors.
func (g *graph) reachable(id string) map[string]bool {
	all := map[string]bool{id: true}
	for grown := true; grown; {
		grown = false
		for c := range all {
			for _, p := range g.commits[c].Parents {
				grown = grown || !all[p]
				all[p] = true
			}
		}
	}
	return all
}

// order returns the commits of a walk, in order.
func (g *graph) order(tip string, all bool) []string {
	if !all {
		list := []string{tip}
		for len(g.commits[list[len(list)-1]].Parents) > 0 {
			list = append(list, g.commits[list[len(list)-1]].Parents[0])
		}
		return list
	}
	// All commits have different times, and children are later than their parents.
	var list []string
	for id := range g.reachable(tip) {
		list = append(list, id)
	}
	slices.SortFunc(list, func(a, b string) int { return g.commits[b].When.Compare(g.commits[a].When) })
	return list
}

// naive selects an image by comparing every commit with every build. A build has the
// form "<abbreviation> <n> <digest>".
func (g *graph) naive(tip string, all, equalTrees, byPath bool, builds []string) string {
	reachable, order := g.reachable(tip), g.order(tip, all)
	key := func(id string) string {
		if byPath {
			return g.files[id]
		}
		return g.commits[id].Tree
	}
	// of returns the tag of the best build of a commit, or "!" and an error.
	of := func(id string) string {
		best, top, topDigests, unclear := "", "", map[string]bool{}, false
		for _, b := range builds {
			f := strings.Fields(b)
			if !strings.HasPrefix(id, f[0]) {
				continue
			}
			others := 0
			for other := range reachable {
				if strings.HasPrefix(other, f[0]) {
					others++
				}
			}
			if others > 1 {
				unclear = true
				continue
			}
			if f[1] > top { // one digit
				best, top, topDigests = "", f[1], map[string]bool{}
			}
			if f[1] == top {
				topDigests[f[2]] = true
				best = max(best, "main-"+f[0]+"-"+f[1])
			}
		}
		switch {
		case len(topDigests) > 1:
			return "!builds"
		case best == "" && unclear:
			return "!ambiguous"
		}
		return best
	}
	behind := 0
	for i, id := range order {
		if of(id) != "" {
			return answer(of(id), id, behind)
		}
		for j := i + 1; equalTrees && j < len(order); j++ {
			if key(order[j]) != key(id) || of(order[j]) == "" {
				continue
			}
			for _, between := range order[i:j] {
				if key(between) != key(id) {
					return answer(of(order[j]), id, behind)
				}
			}
			return answer(of(order[j]), order[j], behind)
		}
		parents := g.commits[id].Parents
		if !all {
			parents = parents[:min(1, len(parents))]
		}
		if !slices.ContainsFunc(parents, func(p string) bool { return key(p) == key(id) }) {
			behind++
		}
	}
	return "!no image"
}

func answer(best, id string, behind int) string {
	if best[0] == '!' {
		return best
	}
	return fmt.Sprint(best, " ", id, " ", behind)
}

func TestGitRevisionOracle(t *testing.T) {
	t.Parallel()
	const histories, choices = 20, 50
	seen := map[string]int{}
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 1))
		repo := gittest.NewPacked(t)
		g := &graph{map[string]Commit{}, map[string]string{}}
		var ids []string
		for i := range 12 + r.IntN(30) {
			var parents []string
			for range min(i, 1+r.IntN(2)) { // recent commits, so that most are reachable
				p := ids[max(0, len(ids)-1-r.IntN(3))]
				if !slices.Contains(parents, p) {
					parents = append(parents, p)
				}
			}
			cmd, other := fmt.Sprint(r.IntN(6)), fmt.Sprint(r.IntN(2))
			id := repo.Commit(i, map[string]string{"cmd/f": cmd, "other": other}, parents...)
			ids = append(ids, id)
			g.files[id] = cmd
		}
		repo.Branch("main", ids[len(ids)-1])
		repo.Pack()
		history := openCommits(t, repo.Dir)
		found, err := history.Find(ids)
		if err != nil {
			t.Fatal(err)
		}
		for id, c := range found {
			g.commits[id] = c[0]
		}
		for range choices {
			seen[choose(t, r, g, history, ids)]++
		}
	}
	for _, kind := range []string{"image", "!builds", "!ambiguous", "!no image"} {
		if seen[kind] < 10 {
			t.Errorf("result %q: got %d cases, want at least 10: %v", kind, seen[kind], seen)
		}
	}
}

// choose compares Resolve with naive for random builds. It returns the kind of result.
func choose(t *testing.T, r *rand.Rand, g *graph, history *commits, ids []string) string {
	t.Helper()
	reg := &stubRegistry{tags: map[string]string{}}
	var builds []string
	for range r.IntN(7) {
		id := ids[r.IntN(len(ids))]
		f := []string{id[:[]int{2, 3, 7, 40}[r.IntN(4)]], fmt.Sprint(r.IntN(2)), fmt.Sprint(r.IntN(3))}
		tag := "main-" + f[0] + "-" + f[1]
		if reg.tags[tag] == "" {
			reg.tags[tag] = f[2]
			builds = append(builds, strings.Join(f, " "))
		}
	}
	policy := &selector.GitRevision{Branch: "main", MinAbbreviation: 2}
	byPattern(policy)
	all, equalTrees, byPath := r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	if policy.NoEqualTrees = !equalTrees; all {
		policy.Walk = selector.WalkAll
	}
	if byPath {
		policy.Paths = []string{"cmd"}
	}
	want := g.naive(ids[len(ids)-1], all, equalTrees, byPath, builds)
	choice, err := resolveRevision(t, policy, reg, history, nil, Options{})
	again, e := resolveRevision(t, policy, reg, history, nil, Options{}) // the tags are listed in another order
	if diff := cmp.Diff(fmt.Sprintf("%+v %v", choice.Candidates, err), fmt.Sprintf("%+v %v", again.Candidates, e)); diff != "" {
		t.Errorf("the result depends on the order of the tags (-one +other):\n%s", diff)
	}
	got := ""
	switch {
	case err == nil:
		got = answer(choice.Tag, choice.Git.Commit, choice.Git.Behind)
	case strings.Contains(err.Error(), "builds of"):
		got = "!builds"
	case strings.Contains(err.Error(), "ambiguous"):
		got = "!ambiguous"
	case strings.Contains(err.Error(), "no image"):
		got = "!no image"
	}
	if got != want {
		t.Errorf("all=%t equalTrees=%t paths=%t builds=%q: got %q (%v), want %q", all, equalTrees, byPath, builds, got, err, want)
	}
	if want[0] != '!' {
		return "image"
	}
	return want
}

func FuzzIdentify(f *testing.F) {
	sum := strings.Repeat("0123456789", 4)
	for _, s := range []string{"main-8609b01", "main-8609b01-1612345", sum, "main/" + sum, "main@sha1:" + sum, "a/b/" + sum[:7], "main@sha256:" + sum, sum + "-dirty", "@", "/", "@sha1:", " 8609B01\n", "main-8-" + strings.Repeat("\xa5", 5000)} {
		f.Add(s)
	}
	all := identifiers(&selector.GitRevision{Branch: "main"})
	f.Fuzz(func(t *testing.T, s string) {
		for _, read := range []func() (string, string){
			func() (string, string) { return parseRevision(s, 7) },
			func() (string, string) { b := all[0].(*tagIdentifier).read(s, 7); return b.commit, b.reason },
		} {
			id, problem := read()
			if (id == "") == (problem == "") {
				t.Fatalf("%q: got %q and the problem %q, want one of them", s, id, problem)
			}
			if id != "" && (len(id) < 7 || len(id) > 40 || strings.Trim(id, "0123456789abcdef") != "" || !strings.Contains(strings.ToLower(s), id)) {
				t.Fatalf("%q: got the commit %q, want 7 to 40 of its hexadecimal digits", s, id)
			}
			if len(problem) > 1500 {
				t.Fatalf("got a problem of %d bytes, want 1500 at most", len(problem))
			}
		}
		if !sameRepository(s, s) {
			t.Fatalf("got %q as another repository than itself, want the same", s)
		}
	})
}

func TestSameRepository(t *testing.T) {
	t.Parallel()
	for _, same := range []string{"https://git.example.com/x/y", "https://GIT.example.com/x/y.git/", "git@git.example.com:x/y.git", "ssh://git@git.example.com/x/y", "https://user:secret@git.example.com/x/y#readme"} {
		if !sameRepository(same, "http://git.example.com/x/y") {
			t.Errorf("%s: got another repository, want the same", same)
		}
	}
	for _, other := range []string{"", "https://git.example.com/x", "https://git.example.com/x/Y", "https://git.example.org/x/y", "x/y"} {
		if sameRepository(other, "http://git.example.com/x/y") {
			t.Errorf("%s: got the same repository, want another", other)
		}
	}
}
