package git_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(path, want string) {
		t.Helper()
		got, err := git.Commit(filepath.Join(dir, path))
		if err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", path, got, err, want)
		}
	}
	write(t, filepath.Join(dir, "thin/images/a/images.yaml"), "[]")
	write(t, filepath.Join(dir, "plain.yaml"), "x")
	write(t, filepath.Join(dir, "README.md"), "x")
	check("thin", "")
	repo, err := gogit.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	check("thin", "")
	work, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.AddGlob("."); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hash, err := work.Commit("all", &gogit.CommitOptions{Author: &object.Signature{Name: "a", Email: "a@example.com", When: at}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"thin", "plain.yaml", ".", "thin/images"} {
		check(path, hash.String())
	}
	write(t, filepath.Join(dir, "README.md"), "changed")
	check(".", hash.String())
	write(t, filepath.Join(dir, "plain.yaml"), "y")
	check("plain.yaml", hash.String()+"-dirty")
	check("thin", hash.String())
	write(t, filepath.Join(dir, "thin/images/b/images.yaml"), "[]")
	check("thin", hash.String()+"-dirty")
	if err := os.RemoveAll(filepath.Join(dir, "thin/images/b")); err != nil {
		t.Fatal(err)
	}
	check("thin", hash.String())
	fifo := filepath.Join(dir, "thin/fifo.yaml") // without a writer
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	check("thin", hash.String()+"-dirty")
	if err := os.Remove(fifo); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "thin/images/a/images.yaml")); err != nil {
		t.Fatal(err)
	}
	check("thin", hash.String()+"-dirty")
}

func TestOpenSHA256(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	gittest.CommitAll(t, dir)
	write(t, filepath.Join(dir, ".git/config"), "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n")
	if r, err := git.Open(dir); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("got %v %v, want an error that says that SHA-256 repositories are not read", r, err)
	}
}

// Repositories with harmless extensions can be read.
func TestOpenExtensions(t *testing.T) {
	t.Parallel()
	base, further := t.TempDir(), t.TempDir()
	dir := filepath.Join(base, "main")
	write(t, filepath.Join(dir, "sub/a.yaml"), "a")
	first := gittest.CommitAll(t, dir)
	meta := filepath.Join(dir, ".git/worktrees/further")
	write(t, filepath.Join(meta, "HEAD"), first+"\n")
	write(t, filepath.Join(meta, "commondir"), "../..\n")
	write(t, filepath.Join(further, ".git"), "gitdir: "+meta+"\n")
	write(t, filepath.Join(further, "sub/a.yaml"), "a")
	near := filepath.Join(base, "near") // with relative paths, as git 2.48 writes them
	write(t, filepath.Join(dir, ".git/worktrees/near/HEAD"), first+"\n")
	write(t, filepath.Join(dir, ".git/worktrees/near/commondir"), "../..\n")
	write(t, filepath.Join(dir, ".git/worktrees/near/gitdir"), "../../../../near/.git\n")
	write(t, filepath.Join(near, ".git"), "gitdir: ../main/.git/worktrees/near\n")
	write(t, filepath.Join(near, "sub/a.yaml"), "a")
	for _, config := range []string{
		"[core]\n\trepositoryformatversion = 0\n[extensions]\n\tworktreeConfig = true\n",
		"[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n\tpartialclone = origin\n",
		"[core]\n\trepositoryformatversion = 1\n[extensions]\n\trelativeWorktrees = true\n",
	} {
		write(t, filepath.Join(dir, ".git/config"), config)
		for _, path := range []string{dir, filepath.Join(dir, "sub/a.yaml"), filepath.Join(further, "sub"), near, filepath.Join(near, "sub/a.yaml")} {
			r := open(t, path)
			if id, err := r.Resolve(first[:10]); err != nil || id != first {
				t.Errorf("%s: got %s %v, want %s", path, id, err, first)
			}
			if commit, err := git.Commit(path); err != nil || commit != first {
				t.Errorf("%s: got %s %v, want %s", path, commit, err, first)
			}
		}
	}
	write(t, filepath.Join(dir, ".git/config"), "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tworktreeConfig = true\n\trefStorage = reftable\n")
	if r, err := git.Open(dir); err == nil || !strings.Contains(err.Error(), "refstorage") {
		t.Errorf("got %v %v, want an error about reftable", r, err)
	}
}

func TestResolveBorrowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	gittest.CommitAll(t, dir)
	write(t, filepath.Join(dir, ".git/objects/info/alternates"), filepath.Join(t.TempDir(), "objects")+"\n")
	if _, err := open(t, dir).Resolve(strings.Repeat("1", 40)); err == nil || !strings.Contains(err.Error(), "borrows") {
		t.Errorf("got %v, want an error about borrowed objects", err)
	}
}

// A contributor's git directory does not block a run, nor fill its output.
func TestOnlyRegularGitFilesAreOpened(t *testing.T) {
	t.Parallel()
	for _, name := range []string{".git", ".git/HEAD", ".git/config", ".git/packed-refs", ".git/commondir", ".git/refs/heads/master"} {
		for kind, make := range map[string]func(string) error{
			"FIFO":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"device": func(path string) error { return os.Symlink("/dev/zero", path) },
			"large":  func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("ref: x"), 2<<20), 0o600) },
		} {
			if kind == "large" && (name == ".git/config" || name == ".git/packed-refs") {
				continue // their errors do not quote them
			}
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				write(t, filepath.Join(dir, "a.yaml"), "a")
				gittest.CommitAll(t, dir)
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				if err := make(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				result := "no error"
				r, err := git.Open(dir)
				if err == nil {
					_, err = r.Resolve("master")
				}
				if err != nil {
					result = err.Error()
				}
				if len(result) > 2000 {
					t.Errorf("error: got %.300s and more (%d bytes), want 2000 bytes or fewer", result, len(result))
				}
				if want := "not a regular file"; kind == "FIFO" && (name == ".git" || name == ".git/config" || name == ".git/commondir") && !strings.Contains(result, want) {
					t.Errorf("error: got %s, want %q", result, want)
				}
			})
		}
	}
}
