package git_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// upstream returns a bare repository with a branch main, and the ids of its two commits.
func upstream(t *testing.T) (r *gittest.Repository, first, head string) {
	t.Helper()
	r = gittest.New(t)
	first = r.Commit(1, map[string]string{"top/images/a.yaml": "a\n"})
	head = r.Commit(2, map[string]string{"top/images/a.yaml": "a\nb\n", "README": "text\n"}, first)
	r.Branch("main", head)
	return r, first, head
}

func program(t *testing.T, clone string, env []string) *git.Program {
	t.Helper()
	p, err := git.NewProgram(t.Context(), git.Setup{Clone: clone, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func draft(t *testing.T, p *git.Program, address, branch string) (*git.Draft, git.Address) {
	t.Helper()
	at, err := p.Remote(address)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.NewDraft(t.Context(), at, branch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing the draft: %v", err)
		}
	})
	return d, at
}

func TestDraft(t *testing.T) {
	t.Parallel()
	r, first, head := upstream(t)
	p := program(t, "", gittest.Env(t, "robot"))
	d, at := draft(t, p, r.Dir, "")
	if d.Branch != "main" || d.Base != head {
		t.Errorf("got branch %s at %s, want main at %s", d.Branch, d.Base, head)
	}
	changes := []git.FileChange{
		{Path: "top/images/a.yaml", Before: []byte("a\nb\n"), After: []byte("a\nb\nc\n")},
		{Path: "top/new/b.yaml", After: []byte("new\n")},
	}
	commit, err := d.Commit(t.Context(), changes, "Add c\n\nIts reason.\n")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := d.Push(t.Context(), at, commit, "cip/c", nil); err != nil || said != "" {
		t.Fatalf("Push: got %q, %v, want nothing", said, err)
	}
	pushed, err := git.Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok, err := pushed.Parent(commit); got != head || !ok || err != nil {
		t.Errorf("got parent %s, %t, %v, want %s", got, ok, err, head)
	}
	got, err := pushed.Changes(t.Context(), head, commit)
	if diff := cmp.Diff(changes, got); diff != "" || err != nil {
		t.Errorf("changes of the commit (-want +got), error %v:\n%s", err, diff)
	}
	files, err := pushed.FS(commit, ".")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := fs.ReadFile(files, "README"); string(text) != "text\n" || err != nil {
		t.Errorf("another file of the commit: got %q, %v, want its text", text, err)
	}
	if author, err := pushed.Author(commit); author != "robot <robot@example.com>" || err != nil {
		t.Errorf("got author %q, %v, want robot", author, err)
	}
	if got, ok, err := pushed.Parent(first); ok || err != nil {
		t.Errorf("parent of the first commit: got %s, %v, want none", got, err)
	}
	branches, err := d.Branches(t.Context(), at, "cip/c")
	if diff := cmp.Diff(map[string]string{"cip/c": commit}, branches); diff != "" || err != nil {
		t.Errorf("branches (-want +got), error %v:\n%s", err, diff)
	}
}

// A commit is signed if the user's settings say so.
func TestDraftSigns(t *testing.T) {
	t.Parallel()
	r, _, _ := upstream(t)
	signer := gittest.Script(t, filepath.Join(t.TempDir(), "gpg"), "cat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\necho SIGNED\n")
	clone := gittest.New(t)
	clone.Set("commit", "", "gpgSign", "yes")
	clone.Set("gpg", "", "program", signer)
	d, at := draft(t, program(t, clone.Dir, gittest.Env(t, "robot")), r.Dir, "main")
	commit, err := d.Commit(t.Context(), []git.FileChange{{Path: "c", After: []byte("c")}}, "Add c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Push(t.Context(), at, commit, "c", nil); err != nil {
		t.Fatal(err)
	}
	if got := r.Read(commit).PGPSignature; got != "SIGNED\n" {
		t.Errorf("got signature %q, want that of the program", got)
	}
}

// A name that is not a regular file or a directory is not replaced by one.
func TestDraftCommitConflicts(t *testing.T) {
	t.Parallel()
	r, _, _ := upstream(t)
	d, _ := draft(t, program(t, "", gittest.Env(t, "robot")), r.Dir, "main")
	for path, want := range map[string]string{
		"top/images": "images is not a regular file", "README/x": "README is not a directory",
	} {
		_, err := d.Commit(t.Context(), []git.FileChange{{Path: path, After: []byte("x")}}, "x")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", path, err, want)
		}
	}
}

// A branch that exists is never changed, even if it was made after it was looked for.
func TestPushChangesNoBranch(t *testing.T) {
	t.Parallel()
	r, first, _ := upstream(t)
	r.Ref("refs/heads/cip/c", first)
	d, at := draft(t, program(t, "", gittest.Env(t, "robot")), r.Dir, "main")
	commit, err := d.Commit(t.Context(), []git.FileChange{{Path: "c", After: []byte("c")}}, "Add c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.Push(t.Context(), at, commit, "cip/c", nil); !errors.Is(err, git.ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if got := r.Branches()["cip/c"]; got != first {
		t.Errorf("got %s, want the branch where it was, %s", got, first)
	}
	for _, name := range []string{"-x", "HEAD", "refs/heads/cip/d", "a..b"} {
		if _, err = d.Push(t.Context(), at, commit, name, nil); err == nil || !strings.Contains(err.Error(), "bad branch name") {
			t.Errorf("%s: got %v, want an error about the name", name, err)
		}
	}
}

// What a hook of the server prints is returned, and reaches nobody as git's own text.
func TestPushHook(t *testing.T) {
	t.Parallel()
	r, _, _ := upstream(t)
	r.Set("receive", "", "advertisePushOptions", "true")
	hook := "echo \"option $GIT_PUSH_OPTION_0\"\ncat >/dev/null\nexit $(test \"$GIT_PUSH_OPTION_0\" = refuse && echo 1 || echo 0)\n"
	gittest.Script(t, filepath.Join(r.Dir, "hooks/pre-receive"), hook)
	d, at := draft(t, program(t, "", gittest.Env(t, "robot")), r.Dir, "main")
	commit, err := d.Commit(t.Context(), []git.FileChange{{Path: "c", After: []byte("c")}}, "Add c")
	if err != nil {
		t.Fatal(err)
	}
	said, err := d.Push(t.Context(), at, commit, "cip/c", []string{"refuse"})
	if !errors.Is(err, git.ErrRefused) || !strings.Contains(err.Error(), "pre-receive hook declined") || said != "option refuse\n" {
		t.Errorf("got %q, %v, want the text of the hook and ErrRefused", said, err)
	}
	if said, err = d.Push(t.Context(), at, commit, "cip/c", []string{"merge_request.create"}); err != nil || said != "option merge_request.create\n" {
		t.Errorf("got %q, %v, want the text of the hook", said, err)
	}
}

// Merged follows the history of the base, which the draft does not have.
func TestMerged(t *testing.T) {
	t.Parallel()
	r, first, head := upstream(t)
	other := r.Commit(3, map[string]string{"x": "x"}, first)
	r.Ref("refs/heads/other", other)
	d, at := draft(t, program(t, "", gittest.Env(t, "robot")), r.Dir, "main")
	for id, want := range map[string]bool{head: true, first: true, other: false} {
		if got, err := d.Merged(t.Context(), id); got != want || err != nil {
			t.Errorf("Merged(%s): got %t, %v, want %t", id, got, err, want)
		}
	}
	if got, err := d.Fetch(t.Context(), at, "other", 2); got != other || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, other)
	}
	if changes, err := d.Changes(t.Context(), first, other); len(changes) != 2 || err != nil {
		t.Errorf("got %v, %v, want two files", changes, err)
	}
	if _, err := d.Fetch(t.Context(), at, "none", 1); err == nil || !strings.Contains(err.Error(), "fetching branch none") {
		t.Errorf("got %v, want an error", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	if got, err := program(t, "", gittest.Env(t, "robot")).Identity(t.Context()); got != "robot <robot@example.com>" || err != nil {
		t.Errorf("got %q, %v, want the name and address", got, err)
	}
	if got, err := program(t, "", gittest.Env(t, "")).Identity(t.Context()); err == nil || !strings.Contains(err.Error(), "set user.name and user.email") {
		t.Errorf("got %q, %v, want an error that names the settings", got, err)
	}
	local := gittest.New(t)
	local.Set("user", "", "name", "local")
	local.Set("user", "", "email", "l@example.com")
	if got, err := program(t, local.Dir, gittest.Env(t, "robot", "GIT_DIR=/nowhere")).Identity(t.Context()); got != "local <l@example.com>" || err != nil {
		t.Errorf("got %q, %v, want the name in the clone", got, err)
	}
}
