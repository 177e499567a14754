package e2e

import (
	"errors"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// checkin makes a directory's files a commit of a git repository there.
func (w *world) checkin(args []string) {
	w.need(args, 2, "checkin VAR DIR")
	dir := w.MkAbs(args[1])
	repo, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.PlainInit(dir, false)
	}
	w.Check(err)
	work, err := repo.Worktree()
	w.Check(err)
	w.Check(work.AddWithOptions(&git.AddOptions{All: true}))
	id, err := work.Commit("a change", &git.CommitOptions{Author: &object.Signature{Name: "someone"}, AllowEmptyCommits: true})
	w.Check(err)
	w.Setenv(args[0], id.String())
}
