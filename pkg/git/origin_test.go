package git_test

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

func TestOrigin(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a", "m.yaml"), "x")
	gittest.CommitAll(t, dir)
	check := func(path, address, tree string) {
		t.Helper()
		r, err := git.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if gotAddress, gotTree := r.Origin(); gotAddress != address || gotTree != tree {
			t.Errorf("%s: got %q, %q, want %q, %q", path, gotAddress, gotTree, address, tree)
		}
	}
	check(filepath.Join(dir, "a"), "", filepath.ToSlash(dir))
	config, err := os.OpenFile(filepath.Join(dir, ".git", "config"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.WriteString("[remote \"origin\"]\n\turl = https://git.example.com/manifests.git\n"); err != nil {
		t.Fatal(err)
	}
	if err := config.Close(); err != nil {
		t.Fatal(err)
	}
	check(filepath.Join(dir, "a", "m.yaml"), "https://git.example.com/manifests.git", filepath.ToSlash(dir))
	check(gittest.New(t).Dir, "", "")
}
