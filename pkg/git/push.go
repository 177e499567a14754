package git

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// ErrRefused is wrapped by the error about a push that the server refused.
var ErrRefused = errors.New("the server refused the push")

// Push makes a new branch at a commit. It returns what the server printed.
//
// A branch of that name is never changed.
func (d *Draft) Push(ctx context.Context, to Address, commit, branch string, options []string) (said string, err error) {
	if err := checkBranch(branch); err != nil {
		return "", err
	}
	ref := plumbing.NewBranchReferenceName(branch).String()
	args := []string{"push", "--porcelain", "--no-verify", "--force-with-lease=" + ref + ":"} // it must not exist
	for _, o := range options {
		args = append(args, "--push-option="+o)
	}
	args = append(args, remoteName, commit+":"+ref)
	said, err = d.push(ctx, to, args)
	if errors.Is(err, errShallow) {
		if err = d.unshallow(ctx); err == nil {
			said, err = d.push(ctx, to, args)
		}
	}
	if err != nil {
		err = fmt.Errorf("pushing branch %s to %s: %w", branch, to.Pushed(), err)
	}
	return said, err
}

// errShallow is the error of a server that has not the commit below the pushed one, such
// as a fork that does not share the objects of its origin.
var errShallow = errors.New("the server lacks history")

// push runs git push once.
func (d *Draft) push(ctx context.Context, to Address, args []string) (said string, err error) {
	out, said, err := d.program.run(ctx, d.dir, to.settings(), nil, args...)
	said = remoteLines(said)
	if err == nil {
		return said, nil
	}
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if fields[0] != "!" || len(fields) < 3 {
			continue
		}
		err = fmt.Errorf("%w: %s: %w", ErrRefused, fields[2], err)
		if strings.Contains(fields[2], "shallow") {
			err = fmt.Errorf("%w: %w", errShallow, err)
		}
	}
	return said, err
}

// unshallow fetches the history of the base.
func (d *Draft) unshallow(ctx context.Context) error {
	ref := plumbing.NewBranchReferenceName(d.Branch)
	if err := d.program.fetch(ctx, d.dir, d.from, "--unshallow", ref.String()); err != nil {
		return fmt.Errorf("fetching the history of %s: %w", d.from, err)
	}
	return nil
}

// remoteLines returns the lines that a server printed, without git's own.
func remoteLines(stderr string) string {
	var b strings.Builder
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(line, "remote:"); ok {
			b.WriteString(strings.TrimSpace(text) + "\n")
		}
	}
	return b.String()
}
