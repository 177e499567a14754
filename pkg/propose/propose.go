// Package propose puts changes of files on a new branch, pushes it, and opens a pull
// request.
//
// A plan is complete before anything is written: it names the branch, and whether the
// same change is already proposed. The package never changes a branch that exists, opens
// a closed pull request again, or touches the user's clone. It is a package of its own
// because it writes to git servers and forges, which no other package does.
//
// It sends the two requests to GitHub's API itself: go-github v89 makes the binary 4.3 MB
// larger, which then has 43.6 MB, and 40 MB is the limit.
package propose

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
)

// Proposal is what is to be reviewed.
type Proposal struct {
	Files   []git.FileChange
	Branch  string // wanted name; a number is appended if it is in use
	Title   string // also the first line of the commit's message
	Body    string // markdown
	SignOff bool   // add Signed-off-by to the commit's message
	Draft   bool   // not ready for review
}

// Request is a pull request that exists.
type Request struct {
	URL    string
	Open   bool
	Commit string // the id of the last commit of its branch
}

// Head is a branch with a proposal.
type Head struct {
	Branch string
	Into   string // the branch that the pull request is for
	Pushed bool   // now; else the branch was there before
	Said   string // by the server about the push
}

// Opened is what a forge returns about a branch that was pushed.
type Opened struct {
	URL  string // of the pull request; empty: none is known
	Note string // what is left to do, if there is no URL
}

// Forge is a service that has pull requests.
type Forge interface {
	// Opens reports whether a pull request is opened, by the push or by Open.
	Opens() bool
	// Requests returns the pull requests from a branch into another.
	Requests(ctx context.Context, h Head) ([]Request, error)
	// PushOptions returns the options with which a push opens a pull request.
	PushOptions(p Proposal, h Head) []string
	// Open opens a pull request, if the push has not done so.
	Open(ctx context.Context, p Proposal, h Head) (Opened, error)
}

// Work is where proposals are made.
type Work struct {
	Draft *git.Draft  // begins with the branch that the pull requests are for
	Push  git.Address // of the repository that gets the branches
	Forge Forge
}

// Plan is what Carry out does with a proposal.
type Plan struct {
	Proposal        // Branch is free, or has this change
	Commit   string // of the branch that has this change; empty: there is none
	URL      string // of the open pull request that has this change; empty: there is none

	author string
}

// Plan decides on which branch a proposal is made. It writes nothing.
//
// A branch with the same change is used again, unless its pull request was closed.
func (w *Work) Plan(ctx context.Context, p Proposal) (*Plan, error) {
	taken, err := w.Draft.Branches(ctx, w.Push, p.Branch)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Proposal: p}
	for _, n := range numbers(taken, p.Branch) {
		name := numbered(p.Branch, n)
		id, same, err := w.same(ctx, name, p.Files)
		if err != nil {
			return nil, err
		}
		if !same {
			continue
		}
		requests, err := w.Forge.Requests(ctx, Head{Branch: name, Into: w.Draft.Branch})
		if err != nil {
			return nil, err
		}
		closed := false
		for _, r := range requests {
			if r.Open {
				plan.Branch, plan.Commit, plan.URL = name, id, r.URL
				return plan, nil
			}
			closed = closed || r.Commit == id
		}
		if usable, err := w.usable(ctx, id, closed || plan.Commit != ""); err != nil {
			return nil, err
		} else if usable {
			plan.Branch, plan.Commit = name, id
		}
	}
	if plan.Commit != "" {
		return plan, nil
	}
	for n := 1; ; n++ {
		plan.Branch = numbered(p.Branch, n)
		if _, ok := taken[plan.Branch]; !ok {
			break
		}
	}
	plan.author, err = w.Draft.Identity(ctx)
	return plan, err
}

// usable reports whether a pull request may be opened from a commit with the same change
// that is not used yet. Its parent must be in the base branch, or the pull request would
// have more changes.
func (w *Work) usable(ctx context.Context, id string, used bool) (bool, error) {
	if used {
		return false, nil
	}
	parent, ok, err := w.Draft.Parent(id)
	if err != nil || !ok {
		return false, err
	}
	return w.Draft.Merged(ctx, parent)
}

// numbers returns the numbers that the names of branches end with, in order.
func numbers(taken map[string]string, name string) []int {
	var all []int
	for branch := range taken {
		n := 1
		if suffix, ok := strings.CutPrefix(branch, name+"-"); ok {
			n, _ = strconv.Atoi(suffix)
		}
		if n > 0 && numbered(name, n) == branch {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// numbered returns the name of a branch with a number. The first has none.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

// same reports whether the last commit of a branch makes the given change.
func (w *Work) same(ctx context.Context, branch string, files []git.FileChange) (id string, same bool, err error) {
	id, err = w.Draft.Fetch(ctx, git.Address{Fetch: w.Push.Pushed()}, branch, 2) // the commit and its parent
	if err != nil {
		return "", false, err
	}
	parent, ok, err := w.Draft.Parent(id)
	if err != nil || !ok {
		return id, false, err
	}
	changed, err := w.Draft.Changes(ctx, parent, id)
	if err != nil {
		return "", false, err
	}
	return id, sameChange(files, changed), nil
}

// sameChange reports whether two lists of changes add and remove the same lines of the
// same files. The other lines may differ: the base may have moved.
func sameChange(a, b []git.FileChange) bool {
	byPath := func(a, b git.FileChange) int { return strings.Compare(a.Path, b.Path) }
	return slices.EqualFunc(slices.SortedFunc(slices.Values(a), byPath), slices.SortedFunc(slices.Values(b), byPath),
		func(a, b git.FileChange) bool {
			return a.Path == b.Path && (a.Before == nil) == (b.Before == nil) && (a.After == nil) == (b.After == nil) &&
				bytes.Equal(edits(a), edits(b))
		})
}

// edits returns the lines that a change adds and removes.
func edits(c git.FileChange) []byte {
	const head = 3 // lines with the names of the files
	var lines []byte
	n := 0
	for line := range bytes.Lines(diff.Diff("a", c.Before, "b", c.After)) {
		if n++; n > head && line[0] != ' ' && line[0] != '@' {
			lines = append(lines, line...)
		}
	}
	return lines
}

// Outcome is the result of a plan that was carried out.
type Outcome struct {
	Opened
	Head
}

// Open carries out a plan: it makes the commit, pushes the branch and opens the pull request.
func (w *Work) Open(ctx context.Context, p *Plan) (Outcome, error) {
	out := Outcome{Opened: Opened{URL: p.URL}, Head: Head{Branch: p.Branch, Into: w.Draft.Branch}}
	if p.URL != "" {
		return out, nil
	}
	if p.Commit == "" {
		commit, err := w.Draft.Commit(ctx, p.Files, p.message())
		if err != nil {
			return out, err
		}
		out.Said, err = w.Draft.Push(ctx, w.Push, commit, p.Branch, w.Forge.PushOptions(p.Proposal, out.Head))
		if err != nil {
			return out, err
		}
		out.Pushed = true
	}
	var err error
	out.Opened, err = w.Forge.Open(ctx, p.Proposal, out.Head)
	if err != nil {
		err = fmt.Errorf("branch %s is pushed, but its pull request is not open (the same command tries it again): %w", p.Branch, err)
	}
	return out, err
}

// Preview says what Open is going to do.
func (w *Work) Preview(p *Plan) string {
	switch {
	case p.URL != "":
		return "the pull request of branch " + p.Branch + " is open already"
	case p.Commit != "" && !w.Forge.Opens():
		return "branch " + p.Branch + " has this change already"
	case p.Commit != "":
		return "--confirm opens the pull request of branch " + p.Branch + ", which has this change already"
	case !w.Forge.Opens():
		return "--confirm pushes branch " + p.Branch + " and opens no pull request"
	}
	return "--confirm pushes branch " + p.Branch + " and opens the pull request"
}

// message returns the message of the commit.
func (p *Plan) message() string {
	if p.SignOff {
		return p.Title + "\n\nSigned-off-by: " + p.author + "\n"
	}
	return p.Title + "\n"
}
