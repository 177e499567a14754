package resolve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// TestGitRevisionReads holds what is asked of the registry and of history to what is needed.
func TestGitRevisionReads(t *testing.T) {
	t.Parallel()
	s := &sample{gittest.NewPacked(t), map[string]string{}}
	s.add("c0", 0)
	for i := range 5200 {
		s.add(fmt.Sprint("c", i+1), i+1, fmt.Sprint("c", i))
	}
	s.Branch("main", s.ids["c5200"])
	s.Pack()
	history := openCommits(t, s.Dir)
	tt := gitCase{tags: "main-<c5190>-2 main-<c5190>-1 main-<c5180> main-<c1> v1", policy: []func(*manifest.GitRevision){byPattern}}
	choice, reg, err := tt.run(t, s, history)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"HEAD " + s.text("main-<c5190>-2")}, reg.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if choice.Git.Behind != 10 || history.read > 2*tellAbout {
		t.Errorf("%d behind, after %d commits", choice.Git.Behind, history.read)
	}
	if last := choice.Candidates[3]; last.Reason != s.text("commit <c1> is not among the newest of branch main") {
		t.Errorf("got %+v", choice.Candidates)
	}
}

// TestGitRevisionPinned is about the digest that the lock has for a tag.
func TestGitRevisionPinned(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	tag := s.text("main-<m4>")
	tests := map[string]struct {
		policy  func(*manifest.GitRevision)
		tag     string // of the lock
		refresh bool
		want    string
		asked   int
	}{
		"the same tag":            {byPattern, tag, false, "locked", 0},
		"the same tag, refreshed": {byPattern, tag, true, "new", 1},
		"another tag":             {byPattern, "main-0123456", false, "new", 1},
		"a tag that may move":     {bySHALabel, tag, false, "new", 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := &shelf{tags: map[string]string{tag: "new"}, images: map[string]*Image{"new": labelledImage(s.ids["m4"])}}
			g := &manifest.GitRevision{Repository: "repo", Branch: "main"}
			tt.policy(g)
			lock := &manifest.Lock{Tag: tt.tag, Digest: digestOf("locked")}
			choice, err := resolveRevision(t, g, reg, openCommits(t, s.Dir), lock, Options{Refresh: tt.refresh})
			if err != nil {
				t.Fatal(err)
			}
			if choice.Digest != digestOf(tt.want) || len(reg.asked) != tt.asked {
				t.Errorf("got %s after %q, want that of %q", choice.Digest, reg.asked, tt.want)
			}
		})
	}
}

func TestGitRevisionSecret(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	reg := &shelf{tags: map[string]string{s.text("main-<m3>"): "a"}}
	g := &manifest.GitRevision{Repository: "https://user:secret@git.example.com/x", Branch: "main"}
	lock := &manifest.Lock{Git: &manifest.LockGit{Repository: "https://git.example.com/x", Commit: s.ids["m1"]}}
	choice, err := resolveRevision(t, g, reg, openCommits(t, s.Dir), lock, Options{})
	if err != nil || choice.Git.Repository != lock.Git.Repository {
		t.Errorf("got %+v %v", choice, err)
	}
	lock.Git.Commit = s.ids["m4"]
	if _, err := resolveRevision(t, g, reg, openCommits(t, s.Dir), lock, Options{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want the rollback refused", err)
	}
}
