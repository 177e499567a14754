package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

var shop = image.NewRepository("registry.example.com", "staging/shop")

// byPattern identifies commits by tags such as main-8609b01 and main-8609b01-42.
func byPattern(g *selector.GitRevision) {
	g.Identify = &selector.Identify{Tag: &selector.IdentifyTag{
		Pattern: `^main-(?P<sha>[0-9a-fA-F]*)(?:-(?P<n>\w+))?$`, Commit: "$sha", Order: "$n",
	}}
}

func bySHALabel(g *selector.GitRevision) {
	g.Identify = &selector.Identify{Label: revisionLabel}
}

func labelledImage(revision string) *Image {
	return &Image{Labels: map[string]string{revisionLabel: revision}}
}

type gitCase struct {
	tags     string // tag=word …; the digest is that of word; without =word, that of the tag
	images   map[string]*Image
	removed  string
	failing  string
	policy   []func(*selector.GitRevision)
	previous string // commit in the lock
	allow    bool

	want   string // tag, commit, behind, by
	err    string // part of the error
	notes  []string
	reason map[string]string // reasons of some candidates
}

func walkAll(g *selector.GitRevision)      { g.Walk = selector.WalkAll }
func noEqualTrees(g *selector.GitRevision) { g.NoEqualTrees = true }

func maxBehind(n int) func(*selector.GitRevision) {
	return func(g *selector.GitRevision) { g.MaxBehind = &n }
}

func paths(list ...string) func(*selector.GitRevision) {
	return func(g *selector.GitRevision) { g.Paths = list }
}

func (tt *gitCase) run(t *testing.T, s *testRepository, history History) (*Choice, *stubRegistry, error) {
	t.Helper()
	reg := &stubRegistry{tags: map[string]string{}, images: map[string]*Image{}, failing: s.text(tt.failing), removed: strings.Fields(s.text(tt.removed))}
	for _, field := range strings.Fields(s.text(tt.tags)) {
		tag, word, ok := strings.Cut(field, "=")
		if !ok {
			word = tag
		}
		reg.tags[tag] = word
	}
	for word, img := range tt.images {
		relabelled := *img
		relabelled.Labels, relabelled.Annotations = texts(s, img.Labels), texts(s, img.Annotations)
		relabelled.Children = slices.Clone(img.Children)
		for i := range relabelled.Children {
			relabelled.Children[i].Annotations = texts(s, img.Children[i].Annotations)
		}
		reg.images[s.text(word)] = &relabelled
	}
	g := &selector.GitRevision{Repository: "repo", Branch: "main"}
	for _, set := range tt.policy {
		set(g)
	}
	var previous *selector.Lock
	if tt.previous != "" {
		previous = &selector.Lock{Git: &selector.LockGit{Repository: "repo", Commit: s.text(tt.previous)}}
	}
	choice, err := resolveRevision(t, g, reg, history, previous, Options{AllowRollback: tt.allow})
	return choice, reg, err
}

// resolveRevision resolves a selector with the policy gitRevision.
func resolveRevision(t *testing.T, g *selector.GitRevision, reg Registry, history History, previous *selector.Lock, o Options) (*Choice, error) {
	t.Helper()
	p := &selector.Selector{Name: "shop", Repository: shop, Select: selector.Select{GitRevision: g}}
	if previous != nil && previous.Tag != "" {
		previous.Intent = p.Intent()
	}
	return Resolve(t.Context(), p, previous, Readers{
		Registry: reg,
		History:  func(context.Context, string, string) (History, func(), error) { return history, func() {}, nil },
	}, o)
}

func texts(s *testRepository, m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = s.text(v)
	}
	return out
}

// check runs a case and compares the result.
func (tt *gitCase) check(t *testing.T, s *testRepository, history History) {
	t.Helper()
	choice, _, err := tt.run(t, s, history)
	if tt.err != "" {
		if err == nil || !strings.Contains(err.Error(), s.text(tt.err)) {
			t.Fatalf("got %+v and error %v, want an error with %q", choice, err, s.text(tt.err))
		}
	} else if err != nil {
		t.Fatal(err)
	}
	if tt.want != "" {
		got := fmt.Sprint(choice.Tag, " ", choice.Git.Commit, " ", choice.Git.Behind, " ", choice.Git.By)
		if got != s.text(tt.want) || choice.Digest == (v1.Hash{}) || !slices.Equal(choice.Default, []string{choice.Tag}) || choice.Fields.Commit != choice.Git.Commit {
			t.Errorf("got %q of %+v, want %q", got, choice, s.text(tt.want))
		}
		tip, err := history.Tip(choice.Git.Branch)
		if err != nil || choice.Git.Tip != tip || choice.Git.Repository != "repo" {
			t.Errorf("got lock entry %+v, want repository repo and tip %s, %v", choice.Git, tip, err)
		}
	}
	if choice == nil {
		return
	}
	if want := s.text(strings.Join(tt.notes, "; ")); tt.notes != nil && want != strings.Join(choice.Notes, "; ") {
		t.Errorf("got notes %q, want %q", choice.Notes, want)
	}
	reasons := map[string]string{}
	for _, c := range choice.Candidates {
		reasons[c.Tag] = c.Reason
		if c.Chosen != (tt.err == "" && c.Tag == choice.Tag) || c.Reason == "" {
			t.Errorf("got candidate %+v of choice %q, want a reason and only this choice chosen", c, choice.Tag)
		}
	}
	for tag, want := range tt.reason {
		if tag, want = s.text(tag), s.text(want); reasons[tag] != want {
			t.Errorf("%s: got reason %q, want %q", tag, reasons[tag], want)
		}
	}
}

func TestGitRevision(t *testing.T) {
	t.Parallel()
	pattern := []func(*selector.GitRevision){byPattern}
	with := func(more ...func(*selector.GitRevision)) []func(*selector.GitRevision) {
		return append(slices.Clone(pattern), more...)
	}
	label := []func(*selector.GitRevision){bySHALabel}
	tests := map[string]gitCase{
		"the head has an image": {tags: "main-<m2> main-<m4>", want: "main-<m4> <m4:40> 0 tag", notes: []string{}, reason: map[string]string{
			"main-<m4>": "commit <m4> is the newest on branch main with an image", "main-<m2>": "commit <m2> is older"}},
		"an older one has":          {tags: "main-<m2> main-<m3>", want: "main-<m3> <m3:40> 2 tag", notes: []string{"2 commits behind the head of branch main: there is no image of <m4> (commit of second 60), <M> (commit of second 50)"}},
		"side commits do not count": {tags: "main-<f1> main-<m2>", want: "main-<m2> <m2:40> 3 tag", reason: map[string]string{"main-<f1>": "commit <f1> came with a merge: the walk goes along first parents"}},
		"all commits count":         {tags: "main-<f1> main-<m2>", policy: with(walkAll), want: "main-<f1> <f1:40> 2 tag"},
		"all commits, the newer":    {tags: "main-<f1> main-<m3>", policy: with(walkAll), want: "main-<f1> <f1:40> 2 tag"},
		"no commit, and too short": {tags: "main- main-<m4:1> main-<m4:6>", err: "no image on branch main: 3 tags, 3 tags without a commit id",
			reason: map[string]string{"main-": "has no commit id"}},
		"the prefix is required":      {tags: "<m4> <m4:40> 1234567", err: "no image on branch main"},
		"tags in another order":       {tags: "main-<m1> main-<m4> main-<m2>", want: "main-<m4> <m4:40> 0 tag"},
		"upper case":                  {tags: "main-" + "ABCDEF0 main-<m4:40>", want: "main-<m4:40> <m4:40> 0 tag"},
		"off the branch":              {tags: "main-<x1> main-0123456 main-<m3>", want: "main-<m3> <m3:40> 2 tag", notes: []string{"2 commits behind the head of branch main: there is no image of <m4> (commit of second 60), <M> (commit of second 50)", "2 tags of commits off the branch"}},
		"only off the branch":         {tags: "main-<x1>", err: "no image on branch main: 1 tag, 1 tag of commits off the branch", reason: map[string]string{"main-<x1>": "commit <x1> is not on branch main"}},
		"no tags":                     {err: "no image on branch main: 0 tags"},
		"two digests, no order":       {tags: "main-<m4> main-<m4:8>", err: "2 builds of <m4>: cannot decide which of"},
		"two digests, one order":      {tags: "main-<m4>-7 main-<m4:8>-07", err: "2 builds of <m4>"},
		"two digests, an order":       {tags: "main-<m4>-9=a main-<m4>-10=b", want: "main-<m4>-10 <m4:40> 0 tag", notes: []string{"commit <m4> has earlier builds: main-<m4>-9"}, reason: map[string]string{"main-<m4>-9": "another build of commit <m4>, before tag main-<m4>-10 in order"}},
		"numbers of any size":         {tags: "main-<m4>-99999999999999999998=a main-<m4>-99999999999999999999=b", want: "main-<m4>-99999999999999999999 <m4:40> 0 tag"},
		"an order that has letters":   {tags: "main-<m4>-9=a main-<m4>-b10=b", want: "main-<m4>-b10 <m4:40> 0 tag"},
		"no order is the lowest":      {tags: "main-<m4>=a main-<m4>-0=b", want: "main-<m4>-0 <m4:40> 0 tag"},
		"one digest, no order":        {tags: "main-<m4>=a main-<m4:9>=a", want: "main-<m4:9> <m4:40> 0 tag", notes: []string{"the image has other tags for commit <m4>: main-<m4>"}},
		"a new tag on the old digest": {tags: "main-<m2>=a main-<m4>=a", previous: "<m2:40>", want: "main-<m4> <m4:40> 0 tag"},
		"listed and removed":          {tags: "main-<m4> main-<m3>", removed: "main-<m4>", want: "main-<m3> <m3:40> 2 tag", reason: map[string]string{"main-<m4>": "the registry lists the tag but does not have it"}},
		"the latest is removed":       {tags: "main-<m4>-2=a main-<m4>-1=b", removed: "main-<m4>-2", want: "main-<m4>-1 <m4:40> 0 tag"},
		"unreadable":                  {tags: "main-<m4> main-<m3>", failing: "main-<m4>", err: errRegistry.Error()},
		"within maxBehind":            {tags: "main-<m3>", policy: with(maxBehind(2)), want: "main-<m3> <m3:40> 2 tag"},
		"beyond maxBehind":            {tags: "main-<m3>", policy: with(maxBehind(1)), err: "the newest image on branch main is more than 1 commit behind (maxBehind): there is no image of <m4> (commit of second 60), <M> (commit of second 50)"},
		"maxBehind 0":                 {tags: "main-<m3>", policy: with(maxBehind(0)), err: "more than 0 commits behind"},
		"an unknown branch":           {tags: "main-<m4>", policy: with(func(g *selector.GitRevision) { g.Branch = "trunk" }), err: `"trunk"`},
		"the lock is older":           {tags: "main-<m4>", previous: "<m2:40>", want: "main-<m4> <m4:40> 0 tag"},
		"the lock came with a merge":  {tags: "main-<m4>", previous: "<f1:40>", want: "main-<m4> <m4:40> 0 tag"},
		"the lock is the same":        {tags: "main-<m3>", previous: "<m3:40>", want: "main-<m3> <m3:40> 2 tag"},
		"older than the lock": {tags: "main-<m3>", previous: "<m4:40>", err: "commit <m3> (tag main-<m3>) is older than the locked commit <m4>: refused without --allow-rollback",
			reason: map[string]string{"main-<m3>": "commit <m3> (tag main-<m3>) is older than the locked commit <m4>: refused without --allow-rollback"}},
		"older than the lock, allowed": {tags: "main-<m3>", previous: "<m4:40>", allow: true, want: "main-<m3> <m3:40> 2 tag", notes: []string{"commit <m3> is not newer than the locked commit <m4>: a rollback", "2 commits behind the head of branch main: there is no image of <m4> (commit of second 60), <M> (commit of second 50)"}},
		"not after the lock":           {tags: "main-<m3>", previous: "<f1:40>", err: "commit <m3> (tag main-<m3>) does not come after the locked commit <f1>"},
		"history was rewritten":        {tags: "main-<m4>", previous: "<x1:40>", err: "the locked commit <x1> is no longer on branch main, which now leads to commit <m4> (tag main-<m4>)"},
		"the locked commit is unknown": {tags: "main-<m4>", previous: strings.Repeat("1", 40), err: "the locked commit 1111111 is no longer on branch main"},
		"rewritten, allowed":           {tags: "main-<m4>", previous: "<x1:40>", allow: true, want: "main-<m4> <m4:40> 0 tag"},
		"no such path":                 {tags: "main-<m4>", policy: with(paths("cmmd", "x")), err: "commit <m4>, the head of branch main, has none of the paths cmmd, x"},
		"one path is missing":          {tags: "main-<m4>", policy: with(paths("cmd", "x")), want: "main-<m4> <m4:40> 0 tag", notes: []string{"commit <m4>, the head of branch main, has no x"}},
		"labels in three forms": {tags: "a b c d", policy: label, images: map[string]*Image{"a": labelledImage("<m2:40>"), "b": labelledImage("main/<m1:40>"),
			"c": labelledImage("main@sha1:<m3:40>"), "d": labelledImage("<x1:40>")}, want: "c <m3:40> 2 label", notes: []string{"2 commits behind the head of branch main: there is no image of <m4> (commit of second 60), <M> (commit of second 50)", "1 tag of commits off the branch"}},
		"a label of a base image": {tags: "a b", policy: label, images: map[string]*Image{"a": labelledImage("<m2:40>"), "b": labelledImage(strings.Repeat("1", 40))}, want: "a <m2:40> 3 label",
			reason: map[string]string{"b": "commit " + strings.Repeat("1", 40) + " is not in the git repository"}},
		"a modified work tree": {tags: "a b", policy: label, images: map[string]*Image{"a": labelledImage("<m4:40>-dirty"), "b": labelledImage("<m3:40>")}, want: "b <m3:40> 2 label",
			reason: map[string]string{"a": `revision "<m4:40>-dirty" is of a modified work tree`}},
		"annotations before labels": {tags: "a", policy: label, images: map[string]*Image{"a": {Annotations: map[string]string{revisionLabel: "<m3:40>"}, Labels: map[string]string{revisionLabel: "<m4:40>"}}}, want: "a <m3:40> 2 label"},
		"an index: its annotation":  {tags: "a", policy: label, images: map[string]*Image{"a": {Annotations: map[string]string{revisionLabel: "<m4:40>"}, Children: []v1.Descriptor{{Digest: digestOf("b")}}}, "b": labelledImage("<m3:40>")}, want: "a <m4:40> 0 label"},
		"an index: its descriptor":  {tags: "a", policy: label, images: map[string]*Image{"a": {Children: []v1.Descriptor{{Digest: digestOf("b"), Annotations: map[string]string{revisionLabel: "<m4:40>"}}}}, "b": labelledImage("<m3:40>")}, want: "a <m4:40> 0 label"},
		"an index: its image":       {tags: "a", policy: label, images: map[string]*Image{"a": {Children: []v1.Descriptor{{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}, Digest: digestOf("z")}, {Digest: digestOf("b")}}}, "b": labelledImage("<m3:40>"), "z": labelledImage("<m4:40>")}, want: "a <m3:40> 2 label"},
		"no label":                  {tags: "a", policy: label, err: "no image on branch main", reason: map[string]string{"a": "has no org.opencontainers.image.revision"}},
		"a label that is unreadable": {tags: "a b", policy: label, images: map[string]*Image{"a": labelledImage("<m4:40>"), "b": labelledImage("<m3:40>")}, failing: "b",
			err: errRegistry.Error()},
		"a source": {tags: "a b", policy: []func(*selector.GitRevision){func(g *selector.GitRevision) {
			g.Identify = &selector.Identify{Label: revisionLabel, Source: "https://git.example.com/x/y"}
		}}, images: map[string]*Image{
			"a": {Labels: map[string]string{revisionLabel: "<m4:40>", sourceLabel: "https://git.example.com/other/y"}},
			"b": {Labels: map[string]string{revisionLabel: "<m3:40>", sourceLabel: "git@GIT.example.com:x/y.git"}}},
			want: "b <m3:40> 2 label", reason: map[string]string{"a": `org.opencontainers.image.source is "https://git.example.com/other/y", not https://git.example.com/x/y`}},
		"by default, a tag": {tags: "main-<m3>-5 main-<m2>", policy: []func(*selector.GitRevision){}, want: "main-<m3>-5 <m3:40> 2 tag"},
		"by default, then a label": {tags: "v1 v2 main-0123456", policy: []func(*selector.GitRevision){}, images: map[string]*Image{"v1": labelledImage("<m3:40>"), "v2": labelledImage("<m1:40>")},
			want: "v1 <m3:40> 2 label"},
		"by default, the branch's tags": {tags: "other-<m3> main-<m2>", policy: []func(*selector.GitRevision){}, want: "main-<m2> <m2:40> 3 tag"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.policy == nil {
				tt.policy = pattern
			}
			s := newSample(t)
			tt.check(t, s, openCommits(t, s.Dir))
		})
	}
}

// TestGitRevisionFiles tests commits that have the same files as other commits.
func TestGitRevisionFiles(t *testing.T) {
	t.Parallel()
	files := func(cmd, readme string) map[string]string {
		return map[string]string{"cmd/main.go": cmd, "README.md": readme}
	}
	s := &testRepository{gittest.New(t), map[string]string{}}
	s.addFiles("a", 1, files("1", "1"))
	s.addFiles("bad", 2, files("2", "1"), "a")
	s.addFiles("revert", 3, files("1", "1"), "bad")
	s.addFiles("empty", 4, files("1", "1"), "revert")
	s.Branch("main", s.ids["empty"])
	s.addFiles("docs", 5, files("1", "2"), "empty")
	s.addFiles("docs2", 6, files("1", "3"), "docs")
	s.addFiles("aside", 7, files("1", "3"), "a")
	docs := *s
	docs.Repository = gittest.New(t)
	docs.ids = map[string]string{}
	docs.addFiles("a", 1, files("1", "1"))
	docs.addFiles("bad", 2, files("2", "1"), "a")
	docs.addFiles("revert", 3, files("1", "1"), "bad")
	docs.addFiles("docs", 5, files("1", "2"), "revert")
	docs.addFiles("docs2", 6, files("1", "3"), "docs")
	docs.addFiles("aside", 7, files("1", "3"), "a")
	docs.Branch("main", docs.ids["docs2"])
	tests := map[string]struct {
		on *testRepository
		gitCase
	}{
		"a revert that was not built":          {s, gitCase{tags: "main-<a> main-<bad>", previous: "<bad:40>", want: "main-<a> <empty:40> 0 tree", notes: []string{"commit <empty> has no image of its own: its files are those of commit <a>"}}},
		"a revert that was built":              {s, gitCase{tags: "main-<a> main-<bad> main-<revert>", want: "main-<revert> <revert:40> 0 tag", notes: []string{}}},
		"a revert, and equalTrees is false":    {s, gitCase{tags: "main-<a> main-<bad>", policy: []func(*selector.GitRevision){byPattern, noEqualTrees}, want: "main-<bad> <bad:40> 1 tag"}},
		"a revert, and the image is removed":   {s, gitCase{tags: "main-<a> main-<bad>", removed: "main-<a>", want: "main-<bad> <bad:40> 1 tag"}},
		"a revert, known by another branch":    {&docs, gitCase{tags: "main-<aside> main-<bad>", want: "main-<bad> <bad:40> 3 tag"}},
		"a revert to an ambiguous image":       {s, gitCase{tags: "main-<a>=x main-<a:8>=y", err: "2 builds of <a>"}},
		"other files do not count":             {&docs, gitCase{tags: "main-<bad> main-<revert>", policy: []func(*selector.GitRevision){byPattern, paths("cmd")}, want: "main-<revert> <revert:40> 0 tag", notes: []string{}}},
		"other files, equalTrees is false":     {&docs, gitCase{tags: "main-<bad> main-<revert>", policy: []func(*selector.GitRevision){byPattern, paths("cmd"), noEqualTrees}, want: "main-<revert> <revert:40> 0 tag"}},
		"other files, and maxBehind":           {&docs, gitCase{tags: "main-<revert>", policy: []func(*selector.GitRevision){byPattern, paths("./cmd/"), maxBehind(0)}, want: "main-<revert> <revert:40> 0 tag"}},
		"other files, when they are not named": {&docs, gitCase{tags: "main-<revert>", want: "main-<revert> <revert:40> 2 tag"}},
		"a revert, as far as files count":      {&docs, gitCase{tags: "main-<a> main-<bad>", policy: []func(*selector.GitRevision){byPattern, paths("cmd")}, want: "main-<a> <docs2:40> 0 tree"}},
		"the lock has no files that are newer": {&docs, gitCase{tags: "main-<revert>", previous: "<docs2:40>", policy: []func(*selector.GitRevision){byPattern, paths("cmd")}, want: "main-<revert> <revert:40> 0 tag"}},
		"a revert never falls back to the bad": {s, gitCase{tags: "main-<bad>", previous: "<empty:40>", err: "commit <bad> (tag main-<bad>) is older than the locked commit <empty>"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.policy == nil {
				tt.policy = []func(*selector.GitRevision){byPattern}
			}
			tt.check(t, tt.on, openCommits(t, tt.on.Dir))
		})
	}
}

func TestGitRevisionAmbiguous(t *testing.T) {
	t.Parallel()
	s := &testRepository{gittest.New(t), map[string]string{}}
	parents, byStart, older := []string{}, map[string]int{}, 0
	var twin [2]string // two commits of the branch with the same first two digits, the newer first
	i := 0
	for ; twin[0] == ""; i++ {
		name := fmt.Sprint("c", i)
		s.add(name, i, parents...)
		parents = []string{name}
		start := s.ids[name][:2]
		if n, ok := byStart[start]; ok {
			older, twin = n, [2]string{name, fmt.Sprint("c", n)}
		}
		byStart[start] = i
	}
	s.Branch("older", s.ids[twin[1]])
	s.Branch("main", s.ids[twin[0]])
	start := s.ids[twin[0]][:2]
	two := func(g *selector.GitRevision) {
		byPattern(g)
		g.MinAbbreviation = 2
	}
	policy := []func(*selector.GitRevision){two, noEqualTrees}
	tests := map[string]gitCase{
		"the other is on another branch": {tags: "main-" + start, policy: []func(*selector.GitRevision){func(g *selector.GitRevision) { g.Branch = "older" }},
			want: "main-" + start + " <" + twin[1] + ":40> 0 tag"},
		"an abbreviation of two":         {tags: "main-" + start, err: "ambiguous: commits <" + twin[0] + ":40> and <" + twin[1] + ":40> start with " + start},
		"another tag is clear":           {tags: "main-" + start + "=x main-<" + twin[0] + ">=y", want: "main-<" + twin[0] + "> <" + twin[0] + ":40> 0 tag"},
		"a whole id of another is clear": {tags: "main-<" + twin[1] + ":40>", want: "main-<" + twin[1] + ":40> <" + twin[1] + ":40> " + fmt.Sprint(i-1-older) + " tag"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.policy = append(tt.policy, policy...)
			tt.check(t, s, openCommits(t, s.Dir))
		})
	}
}

func TestGitRevisionShallow(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	clone := s.Shallow("main", []string{s.ids["m4"], s.ids["M"]}, s.ids["M"])
	tests := map[string]gitCase{
		"an image within": {tags: "main-<M> main-<m1>", want: "main-<M> <M:40> 1 tag", notes: []string{
			"1 commit behind the head of branch main: there is no image of <m4> (commit of second 60)",
			"1 tag of commits beyond the end of this shallow history, which may have the files of a newer commit",
		}, reason: map[string]string{"main-<m1>": "commit <m1> is not in the available history"}},
		"an image of the head": {tags: "main-<m4> main-<m1>", want: "main-<m4> <m4:40> 0 tag"},
		"none within":          {tags: "main-<m3>", err: "looking for an image on branch main: history ends at <M:40>: the clone is shallow, fetch more of it"},
		"the lock is beyond":   {tags: "main-<M>", previous: "<m3:40>", err: "comparing commit <M> with the locked commit <m3>: history ends at <M:40>"},
		"older than the lock":  {tags: "main-<M>", previous: "<m4:40>", err: "is older than the locked commit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.policy = []func(*selector.GitRevision){byPattern}
			tt.check(t, s, openCommits(t, clone.Dir))
		})
	}
	_, _, err := (&gitCase{tags: "main-<m3>", policy: []func(*selector.GitRevision){byPattern}}).run(t, s, openCommits(t, clone.Dir))
	var cut *git.ShallowError
	if !errors.As(err, &cut) {
		t.Errorf("got %v, want a ShallowError", err)
	}
}
