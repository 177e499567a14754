package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// A base whose files are not all in the clone is not compared with as if they were empty.
func TestAtRevisionWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	images := "- name: apple\n  dmap: {}\n"
	for name, text := range map[string]string{
		"images/a/images.yaml":               images,
		"manifests/a/promoter-manifest.yaml": "registries: [{name: r.example/a, src: true}, {name: r.example/b}]\n",
		"plain.yaml":                         "registries: [{name: r.example/a, src: true}, {name: r.example/b}]\nimages: []\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := gogit.PlainInit(dir, false)
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
	if _, err := work.Commit("all", &gogit.CommitOptions{Author: &object.Signature{Name: "a", Email: "a@example.com", When: at}}); err != nil {
		t.Fatal(err)
	}
	thin, plain := &manifestOptions{thinDir: dir}, &manifestOptions{manifest: filepath.Join(dir, "plain.yaml")}
	for _, o := range []*manifestOptions{thin, plain} {
		if set, _, err := o.atRevision("HEAD"); err != nil || len(set.Manifests) != 1 {
			t.Fatalf("%s: got %v %v", o.path(), set, err)
		}
	}
	lost := plumbing.ComputeHash(plumbing.BlobObject, []byte(images)).String()
	if err := os.Remove(filepath.Join(dir, ".git/objects", lost[:2], lost[2:])); err != nil {
		t.Fatal(err)
	}
	if _, _, err := thin.atRevision("HEAD"); !errors.Is(err, git.ErrUnreadable) {
		t.Errorf("without images.yaml: got %v", err)
	}
	if set, _, err := plain.atRevision("HEAD"); err != nil || len(set.Manifests) != 1 {
		t.Errorf("what is not read is missed: got %v %v", set, err)
	}
}
