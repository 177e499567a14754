package e2e

import (
	"errors"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// checkin makes a directory's files a commit of a git repository there.
func (w *world) checkin(args []string) {
	w.need(args, 2, "checkin VAR DIR [DATE [MESSAGE]]")
	by, message := &object.Signature{Name: "someone", Email: "someone@example.com"}, "a change"
	if len(args) > 2 {
		var err error
		by.When, err = time.Parse(time.DateOnly, args[2])
		w.Check(err)
	}
	if len(args) > 3 {
		message = args[3]
	}
	dir := w.MkAbs(args[1])
	repo, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.PlainInit(dir, false)
	}
	w.Check(err)
	work, err := repo.Worktree()
	w.Check(err)
	w.Check(work.AddWithOptions(&git.AddOptions{All: true}))
	id, err := work.Commit(message, &git.CommitOptions{Author: by, AllowEmptyCommits: true})
	w.Check(err)
	w.Setenv(args[0], id.String())
}
