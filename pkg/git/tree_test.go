package git_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	"cip/pkg/git"
)

// commitAll commits everything below dir, a repository or about to be one.
func commitAll(t *testing.T, dir, message string) string {
	t.Helper()
	repo, err := gogit.PlainOpen(dir)
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		repo, err = gogit.PlainInit(dir, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	work, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.AddWithOptions(&gogit.AddOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hash, err := work.Commit(message, &gogit.CommitOptions{Author: &object.Signature{Name: "a", Email: "a@example.com", When: at}})
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

func open(t *testing.T, path string) *git.Repository {
	t.Helper()
	r, err := git.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "k8s/images/a/images.yaml"), "[]")
	write(t, filepath.Join(dir, "k8s/manifests/a/promoter-manifest.yaml"), "first")
	write(t, filepath.Join(dir, "shared/list.yaml"), "shared")
	links := map[string]string{
		"k8s/images/a/link.yaml": "../../../shared/list.yaml",
		"k8s/again":              "images/a",
		"k8s/loop":               "loop",
		"k8s/out":                "../../etc",
	}
	for at, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	first := commitAll(t, dir, "first")
	write(t, filepath.Join(dir, "k8s/manifests/a/promoter-manifest.yaml"), "second")
	commitAll(t, dir, "second")
	write(t, filepath.Join(dir, "k8s/manifests/a/promoter-manifest.yaml"), "dirty")

	r := open(t, filepath.Join(dir, "k8s"))
	id, err := r.Resolve("HEAD~1")
	if err != nil || id != first {
		t.Fatalf("HEAD~1 is %s %v, want %s", id, err, first)
	}
	if id, err := r.Resolve(first[:10]); err != nil || id != first {
		t.Fatalf("%s is %s %v, want %s", first[:10], id, err, first)
	}
	for _, rev := range []string{"nowhere", strings.Repeat("1", 40)} {
		if _, err := r.Resolve(rev); err == nil || !strings.Contains(err.Error(), "no such revision") {
			t.Errorf("%s: got %v", rev, err)
		}
	}
	within, err := r.Within(filepath.Join(dir, "k8s"))
	if err != nil || within != "k8s" {
		t.Fatalf("got %q %v", within, err)
	}
	tree, err := r.FS(id, within)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"manifests/a/promoter-manifest.yaml": "first",
		"images/a/images.yaml":               "[]",
		"images/a/link.yaml":                 "shared",
		"again/link.yaml":                    "shared",
	} {
		if got, err := fs.ReadFile(tree, name); err != nil || string(got) != want {
			t.Errorf("%s: got %q %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"loop": "too many symbolic links", "out/passwd": "out of the repository",
		"images/none": "not exist", "images/a/images.yaml/x": "not exist",
	} {
		if _, err := fs.Stat(tree, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if _, err := git.Open(t.TempDir()); !errors.Is(err, git.ErrNoRepository) {
		t.Errorf("outside a repository: got %v", err)
	}
}

func TestFSConforms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a/b/c.yaml", "a/b.yaml", "a.yaml", "z/1", "z/2"} {
		write(t, filepath.Join(dir, name), name)
	}
	id := commitAll(t, dir, "all")
	tree, err := open(t, dir).FS(id, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "a/b/c.yaml", "a/b.yaml", "z/2"); err != nil {
		t.Error(err)
	}
}
