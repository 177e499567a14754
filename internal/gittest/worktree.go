package gittest

import (
	"errors"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// CommitAll commits all files below dir and returns the commit's id. It creates the
// repository if there is none.
func CommitAll(t testing.TB, dir string) string {
	t.Helper()
	repo, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.PlainInit(dir, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	work, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	id, err := work.Commit("all", &git.CommitOptions{Author: &object.Signature{Name: "a", Email: "a@example.com", When: at}})
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}
