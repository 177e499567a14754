package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// Draft is a temporary bare repository in which a commit is made.
//
// It begins with the head of a remote branch. The clone of the user, its work tree and
// its index are not involved.
type Draft struct {
	*Repository
	Branch string // of the remote
	Base   string // the id of the commit at its head

	program *Program
	from    Address
	dir     string
}

// NewDraft fetches the head of a branch. If branch is empty, it is the one that the
// remote's HEAD names. The caller must Close the result.
func (p *Program) NewDraft(ctx context.Context, from Address, branch string) (*Draft, error) {
	dir, err := os.MkdirTemp("", "cip-draft-")
	if err != nil {
		return nil, err
	}
	d := &Draft{program: p, from: from, dir: dir, Branch: branch}
	if err = d.begin(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Draft) begin(ctx context.Context) error {
	if _, err := git.PlainInit(d.dir, true); err != nil {
		return fmt.Errorf("making a repository for the commit: %w", err)
	}
	if d.Branch == "" {
		var err error
		if d.Branch, err = d.headBranch(ctx); err != nil {
			return err
		}
	}
	var err error
	d.Base, err = d.Fetch(ctx, d.from, d.Branch, 1)
	return err
}

// headBranch returns the branch that HEAD of the remote names.
func (d *Draft) headBranch(ctx context.Context) (string, error) {
	out, _, err := d.program.run(ctx, d.dir, d.from.settings(), nil, "ls-remote", "--symref", remoteName, "HEAD")
	if err != nil {
		return "", fmt.Errorf("reading the default branch of %s: %w", d.from, err)
	}
	for line := range strings.Lines(out) {
		if ref, ok := strings.CutPrefix(line, "ref: refs/heads/"); ok {
			branch, _, _ := strings.Cut(ref, "\t")
			return branch, nil
		}
	}
	return "", fmt.Errorf("reading the default branch of %s: it has none: name a branch", d.from)
}

// Fetch brings a branch with a number of commits of its history. It returns the id of
// the commit at its head.
func (d *Draft) Fetch(ctx context.Context, from Address, branch string, depth int) (string, error) {
	ref := plumbing.NewBranchReferenceName(branch)
	if err := checkBranch(branch); err != nil {
		return "", err
	}
	to := plumbing.ReferenceName("refs/cip/" + branch)
	if err := d.program.fetch(ctx, d.dir, from, fmt.Sprintf("--depth=%d", depth), fmt.Sprintf("+%s:%s", ref, to)); err != nil {
		return "", fmt.Errorf("fetching branch %s of %s: %w", branch, from, err)
	}
	d.closeFiles()
	repo, err := openDot(d.dir, "") // again, since there is a new pack
	if err != nil {
		return "", fmt.Errorf("opening the copy of %s: %w", from, err)
	}
	d.Repository = &Repository{repo: repo, name: from.String()}
	return d.branch(to)
}

// checkBranch returns an error if git does not allow a name of a branch, or if a branch
// of that name would be taken for something else.
func checkBranch(name string) error {
	if short, ok := strings.CutPrefix(name, "refs/heads/"); ok {
		return fmt.Errorf("bad branch name %q: want %s", name, short)
	}
	if name == "HEAD" {
		return fmt.Errorf("bad branch name %q: git has that name for the current commit", name)
	}
	if err := plumbing.NewBranchReferenceName(name).Validate(); err != nil || strings.HasPrefix(name, "-") {
		return fmt.Errorf("bad branch name %q", name)
	}
	return nil
}

// Branches returns the commit ids of a remote's branches with a name, and of those with
// a suffix after a hyphen.
func (d *Draft) Branches(ctx context.Context, at Address, name string) (map[string]string, error) {
	if err := checkBranch(name); err != nil {
		return nil, err
	}
	const heads = "refs/heads/"
	out, _, err := d.program.run(ctx, d.dir, Address{Fetch: at.Pushed()}.settings(), nil, "ls-remote", remoteName, heads+name, heads+name+"-*")
	if err != nil {
		return nil, fmt.Errorf("reading the branches of %s: %w", at.Pushed(), err)
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if branch, ok := strings.CutPrefix(ref, heads); ok && IsID(id) {
			found[branch] = id
		}
	}
	return found, nil
}

// Merged reports whether a commit is in the history of the branch that the draft began with.
//
// It fetches that history without files, from servers that support this.
func (d *Draft) Merged(ctx context.Context, id string) (bool, error) {
	if id == d.Base {
		return true, nil
	}
	history, err := os.MkdirTemp(d.dir, "history-")
	if err != nil {
		return false, err
	}
	if _, err := git.PlainInit(history, true); err != nil {
		return false, fmt.Errorf("making a repository for the history of %s: %w", d.from, err)
	}
	ref := plumbing.NewBranchReferenceName(d.Branch)
	if err := d.program.fetch(ctx, history, d.from, "--filter=tree:0", fmt.Sprintf("+%s:%s", ref, ref)); err != nil {
		return false, fmt.Errorf("fetching the history of branch %s of %s: %w", d.Branch, d.from, err)
	}
	repo, err := openDot(history, "")
	if err != nil {
		return false, fmt.Errorf("opening the history of %s: %w", d.from, err)
	}
	r := &Repository{repo: repo, name: d.from.String()}
	head, err := r.branch(ref)
	if err != nil {
		return false, err
	}
	return r.IsAncestor(ctx, id, head)
}

// Close removes the repository.
func (d *Draft) Close() error {
	d.closeFiles()
	return os.RemoveAll(d.dir)
}

// closeFiles closes the packs, which some systems cannot remove while they are open.
func (d *Draft) closeFiles() {
	if d.Repository == nil {
		return
	}
	if c, ok := d.repo.Storer.(io.Closer); ok {
		_ = c.Close() // they were only read
	}
}

// Identity returns the name and address of the user's commits, as "name <address>".
func (d *Draft) Identity(ctx context.Context) (string, error) { return d.program.Identity(ctx) }
