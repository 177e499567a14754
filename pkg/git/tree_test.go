package git_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	gogit "github.com/go-git/go-git/v5"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

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
		"k8s/nothing":            "none",
		"k8s/below":              "images/a/images.yaml/x",
		"k8s/out":                "../../etc",
	}
	for at, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	first := gittest.CommitAll(t, dir)
	write(t, filepath.Join(dir, "k8s/manifests/a/promoter-manifest.yaml"), "second")
	gittest.CommitAll(t, dir)
	write(t, filepath.Join(dir, "k8s/manifests/a/promoter-manifest.yaml"), "dirty")

	r := open(t, filepath.Join(dir, "k8s"))
	id, err := r.Resolve("HEAD~1")
	if err != nil || id != first {
		t.Fatalf("HEAD~1 is %s %v, want %s", id, err, first)
	}
	if id, err := r.Resolve(first[:10]); err != nil || id != first {
		t.Fatalf("%s is %s %v, want %s", first[:10], id, err, first)
	}
	for _, rev := range []string{"nowhere", strings.Repeat("1", 40), "HEAD~2", "HEAD^2"} {
		if _, err := r.Resolve(rev); err == nil || !strings.Contains(err.Error(), "no such revision") {
			t.Errorf("%s: got %v, want an error: no such revision", rev, err)
		}
	}
	within, err := r.Within(filepath.Join(dir, "k8s"))
	if err != nil || within != "k8s" {
		t.Fatalf("got %q, %v, want k8s", within, err)
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
		"nothing": "a symbolic link to a file that does not exist", "nothing/x": "a symbolic link to", "below": "a symbolic link to",
		"images/none": "file does not exist", "again/none": "file does not exist", "images/a/images.yaml/x": "not exist",
	} {
		if _, err := fs.Stat(tree, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if _, err := git.Open(t.TempDir()); !errors.Is(err, git.ErrNoRepository) {
		t.Errorf("outside a repository: got %v, want %v", err, git.ErrNoRepository)
	}
}

func TestFSConforms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a/b/c.yaml", "a/b.yaml", "a.yaml", "z/1", "z/2"} {
		write(t, filepath.Join(dir, name), name)
	}
	id := gittest.CommitAll(t, dir)
	tree, err := open(t, dir).FS(id, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "a/b/c.yaml", "a/b.yaml", "z/2"); err != nil {
		t.Error(err)
	}
}

// An object that a clone leaves out is an error, not a missing file.
func TestFSUnreadable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lost, read string }{
		{"HEAD^{tree}", "k8s/images/images.yaml"},
		{"HEAD:k8s", "k8s/images/images.yaml"},
		{"HEAD:k8s", "k8s"},
		{"HEAD:k8s/images", "k8s/images/images.yaml"},
		{"HEAD:k8s/images/images.yaml", "k8s/images/images.yaml"},
		{"HEAD:k8s/images/images.yaml", "k8s/images"}, // listing it needs the sizes of its files
	} {
		t.Run(c.lost+" "+c.read, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "k8s/images/images.yaml"), "[]")
			id := gittest.CommitAll(t, dir)
			object := revision(t, dir, c.lost)
			if err := os.Remove(filepath.Join(dir, ".git/objects", object[:2], object[2:])); err != nil {
				t.Fatal(err)
			}
			tree, err := open(t, dir).FS(id, ".")
			if err == nil {
				_, err = fs.Stat(tree, c.read)
			}
			if !errors.Is(err, git.ErrUnreadable) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), object) {
				t.Errorf("got %v, want an error about %s", err, object)
			}
		})
	}
}

// revision returns the id of an object: HEAD^{tree}, or HEAD: and a path.
func revision(t *testing.T, dir, name string) string {
	t.Helper()
	repo, err := gogit.PlainOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	head, err := repo.Head()
	if err != nil {
		t.Fatal(err)
	}
	commit, err := repo.CommitObject(head.Hash())
	if err != nil {
		t.Fatal(err)
	}
	path, below := strings.CutPrefix(name, "HEAD:")
	if !below {
		return commit.TreeHash.String()
	}
	tree, err := commit.Tree()
	if err != nil {
		t.Fatal(err)
	}
	entry, err := tree.FindEntry(path)
	if err != nil {
		t.Fatal(err)
	}
	return entry.Hash.String()
}

func TestNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repo, outside := filepath.Join(dir, "repo"), filepath.Join(dir, "outside")
	write(t, filepath.Join(repo, "k8s/v1/images.yaml"), "[]")
	gittest.CommitAll(t, repo)
	for at, to := range map[string]string{
		filepath.Join(repo, "k8s/now"):            "v1",
		filepath.Join(repo, "k8s/v1/latest.yaml"): "images.yaml",
		outside: filepath.Join(repo, "k8s"),
	} {
		if err := os.Symlink(to, at); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, repo)
	for _, c := range []struct{ path, named, within string }{
		{repo, ".", "."},
		{filepath.Join(repo, "k8s"), "k8s", "k8s"},
		{filepath.Join(repo, "k8s/now"), "k8s/now", "k8s/v1"},
		{filepath.Join(repo, "k8s/now/latest.yaml"), "k8s/now/latest.yaml", "k8s/v1/images.yaml"},
		{outside, "k8s", "k8s"},
		{filepath.Join(outside, "now/latest.yaml"), "k8s/now/latest.yaml", "k8s/v1/images.yaml"},
	} {
		named, err := r.Named(c.path)
		within, err2 := r.Within(c.path)
		if err != nil || err2 != nil || named != c.named || within != c.within {
			t.Errorf("%s: got %q and %q, %v %v, want %q and %q", c.path, named, within, err, err2, c.named, c.within)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "none")} {
		if got, err := r.Named(path); err == nil {
			t.Errorf("%s: got %q, want an error", path, got)
		}
	}
}
