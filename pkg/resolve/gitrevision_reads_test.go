package resolve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// TestGitRevisionReads checks that no more requests are sent and no more commits are
// read than needed.
func TestGitRevisionReads(t *testing.T) {
	t.Parallel()
	s := &testRepository{gittest.NewPacked(t), map[string]string{}}
	s.add("c0", 0)
	for i := range 5200 {
		s.add(fmt.Sprint("c", i+1), i+1, fmt.Sprint("c", i))
	}
	s.Branch("main", s.ids["c5200"])
	s.Pack()
	history := openCommits(t, s.Dir)
	tt := gitCase{tags: "main-<c5190>-2 main-<c5190>-1 main-<c5180> main-<c1> v1", policy: []func(*selector.GitRevision){byPattern}}
	choice, reg, err := tt.run(t, s, history)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"HEAD " + s.text("main-<c5190>-2")}, reg.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if choice.Git.Behind != 10 || history.read > 2*maxExplained {
		t.Errorf("got %d behind after %d commits, want 10 after at most %d", choice.Git.Behind, history.read, 2*maxExplained)
	}
	if last := choice.Candidates[3]; last.Reason != s.text("commit <c1> is not among the newest of branch main") {
		t.Errorf("got candidates %+v, want that <c1> is not among the newest", choice.Candidates)
	}
}

// TestGitRevisionPinned checks when the digest in the lock is used.
func TestGitRevisionPinned(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	tag := s.text("main-<m4>")
	tests := map[string]struct {
		policy   func(*selector.GitRevision)
		tag      string // of the lock
		refresh  bool
		want     string
		requests int
	}{
		"the same tag":            {byPattern, tag, false, "locked", 0},
		"the same tag, refreshed": {byPattern, tag, true, "new", 1},
		"another tag":             {byPattern, "main-0123456", false, "new", 1},
		"a tag that may move":     {bySHALabel, tag, false, "new", 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := &stubRegistry{tags: map[string]string{tag: "new"}, images: map[string]*Image{"new": labelledImage(s.ids["m4"])}}
			g := &selector.GitRevision{Repository: "repo", Branch: "main"}
			tt.policy(g)
			lock := &selector.Lock{Tag: tt.tag, Digest: digestOf("locked")}
			choice, err := resolveRevision(t, g, reg, openCommits(t, s.Dir), lock, Options{Refresh: tt.refresh})
			if err != nil {
				t.Fatal(err)
			}
			if choice.Digest != digestOf(tt.want) || len(reg.requests) != tt.requests {
				t.Errorf("got %s after requests %q, want %s after %d", choice.Digest, reg.requests, digestOf(tt.want), tt.requests)
			}
		})
	}
}

func TestGitRevisionSecret(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	reg := &stubRegistry{tags: map[string]string{s.text("main-<m3>"): "a"}}
	g := &selector.GitRevision{Repository: "https://user:secret@git.example.com/x", Branch: "main"}
	lock := &selector.Lock{Git: &selector.LockGit{Repository: "https://git.example.com/x", Commit: s.ids["m1"]}}
	choice, err := resolveRevision(t, g, reg, openCommits(t, s.Dir), lock, Options{})
	if err != nil || choice.Git.Repository != lock.Git.Repository {
		t.Errorf("got %+v, %v, want a repository without credentials", choice, err)
	}
	lock.Git.Commit = s.ids["m4"]
	if _, err := resolveRevision(t, g, reg, openCommits(t, s.Dir), lock, Options{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got error %v, want a refused rollback without the secret", err)
	}
}
