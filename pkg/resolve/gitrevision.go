package resolve

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// History reads the git repository of a git revision policy.
type History interface {
	// Tip returns the id of the commit at the head of a branch.
	Tip(branch string) (string, error)
	// Walk returns the commit tip and its ancestors. It follows first parents only, or,
	// with all, every parent, the latest commit first. In a shallow clone it ends with
	// an error.
	Walk(ctx context.Context, tip string, all bool) iter.Seq2[Commit, error]
	// Subtrees returns the object ids of the paths in a tree, "" for a missing path.
	Subtrees(tree string, paths []string) ([]string, error)
	// IsAncestor reports whether a is b or an ancestor of b. It is an error if the
	// clone is too shallow to decide.
	IsAncestor(ctx context.Context, a, b string) (bool, error)
	// Find returns the commits whose ids start with each abbreviation, on any branch.
	Find(abbreviations []string) (map[string][]Commit, error)
}

// Commit is a commit of a History.
type Commit struct {
	ID, Tree string
	Parents  []string
	Subject  string
	When     time.Time
}

// The values of selector.LockGit.By: how the image of a commit was identified.
const (
	byTag   = "tag"
	byLabel = "label"
	byTree  = "tree" // the image of an older commit with the same files
)

// errNoImage means that no commit has an image.
var errNoImage = errors.New("no image")

// gitRevision implements the policy gitRevision: it selects the image of the newest
// commit on a branch that has one.
//
// With an error, the choice has the candidates and their reasons.
func (j *job) gitRevision(ctx context.Context) (*Choice, error) {
	all, err := j.Registry.Tags(ctx, j.Repository)
	if err != nil {
		return nil, err
	}
	values, rejected := j.filter(all)
	tags := tagsOf(values)
	slices.Sort(tags) // the result must not depend on the order of the registry
	slices.Reverse(tags)
	g := j.Select.GitRevision
	history, release, err := j.History(ctx, g.Repository, g.Branch)
	if err != nil {
		return nil, err
	}
	defer release()
	choice, err := j.newestCommit(ctx, tags, history)
	if choice != nil {
		choice.Candidates = append(choice.Candidates, sorted(rejected)...)
	}
	return choice, err
}

// newestCommit tries each identifier in turn until one leads to an image.
func (j *job) newestCommit(ctx context.Context, tags []string, history History) (*Choice, error) {
	g := j.Select.GitRevision
	tip, err := history.Tip(g.Branch)
	if err != nil {
		return nil, err
	}
	var first *Choice
	var failure error
	for _, method := range identifiers(g) {
		builds, err := method.identify(ctx, j, tags)
		if err != nil {
			return nil, err
		}
		s := &gitSearch{g: g, job: j, history: history, builds: builds, tip: tip, keys: map[string]string{}}
		choice, err := s.run(ctx)
		if !errors.Is(err, errNoImage) {
			return choice, err
		}
		if failure == nil {
			first, failure = choice, err
		}
	}
	return first, failure
}

// gitSearch searches for the newest image of a branch.
type gitSearch struct {
	g       *selector.GitRevision
	job     *job
	history History
	tip     string
	builds  []*build

	byCommit map[string][]*build // by full or abbreviated commit id
	lengths  []int               // lengths of the keys of byCommit
	walk     *commitWalk
	keys     map[string]string          // results of files, by tree id
	known    map[string][]Commit        // commits of each key of byCommit; nil until findAll
	byFiles  map[string]map[string]bool // ids of known commits, by the key of their files
	passed   []PassedCommit
	notes    []string
}

// hit is an image that was found, and its commits.
type hit struct {
	commit Commit   // commit of the result; for byTree it has no build itself
	at     Commit   // commit that the image was built from
	newest Commit   // newest commit that has the same files
	builds []*build // builds of at, best first
	behind int      // number of commits without an image that were passed
	by     string
}

func (s *gitSearch) run(ctx context.Context) (*Choice, error) {
	s.byCommit = map[string][]*build{}
	for _, b := range s.builds {
		if b.commit != "" {
			s.byCommit[b.commit] = append(s.byCommit[b.commit], b)
			if !slices.Contains(s.lengths, len(b.commit)) {
				s.lengths = append(s.lengths, len(b.commit))
			}
		}
	}
	s.walk = newCommitWalk(ctx, s.history, s.tip, s.g.Walk == selector.WalkAll)
	defer s.walk.stop()
	found, err := s.search(ctx)
	if err == nil {
		err = s.checkRollback(ctx, found)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	counts, e := s.explain(ctx, found)
	if e != nil {
		return nil, e
	}
	choice := &Choice{}
	switch {
	case err == nil:
		choice = s.choice(found)
	case found != nil:
		found.builds[0].reason = err.Error()
	}
	choice.Candidates, choice.Notes, choice.Passed = s.candidates(), append(s.notes, counts...), s.passed
	if errors.Is(err, errNoImage) {
		err = fmt.Errorf("%w on branch %s: %s", err, s.g.Branch, strings.Join(append([]string{plural(len(s.builds), "tag")}, counts...), ", "))
	}
	return choice, err
}

// choice returns the choice for a hit.
func (s *gitSearch) choice(found *hit) *Choice {
	best := found.builds[0]
	best.chosen = true
	return &Choice{
		Tag:     best.tag,
		Digest:  best.digest,
		Default: []string{best.tag},
		Fields:  selector.TagFields{Commit: found.commit.ID},
		Git: &selector.LockGit{
			Repository: withoutUser(s.g.Repository),
			Branch:     s.g.Branch,
			Tip:        s.tip,
			Commit:     found.commit.ID,
			Behind:     found.behind,
			By:         found.by,
		},
	}
}

// search walks back in history to the first commit that has an image.
//
// A commit without an image that has the files of an older commit gets its image.
// Commits that change no files of the policy do not count as behind.
func (s *gitSearch) search(ctx context.Context) (*hit, error) {
	if err := s.checkPaths(); err != nil {
		return nil, err
	}
	behind := 0
	for i := 0; ; i++ {
		c, ok, err := s.walk.at(i)
		if err != nil {
			return nil, fmt.Errorf("looking for an image on branch %s: %w", s.g.Branch, err)
		}
		if !ok {
			return nil, errNoImage
		}
		builds, err := s.pick(ctx, c)
		if err != nil {
			return nil, err
		}
		if builds != nil {
			return &hit{commit: c, at: c, newest: c, builds: builds, behind: behind, by: builds[0].by}, nil
		}
		found, err := s.equalTree(ctx, i)
		if err != nil {
			return nil, err
		}
		if found != nil {
			found.behind = behind
			return found, nil
		}
		unchanged, err := s.unchanged(c)
		if err != nil {
			return nil, err
		}
		s.passed = append(s.passed, PassedCommit{ID: c.ID, Subject: clip(c.Subject), Counted: !unchanged})
		if unchanged {
			continue
		}
		if behind++; s.g.MaxBehind != nil && behind > *s.g.MaxBehind {
			return nil, fmt.Errorf("the newest image on branch %s is more than %s behind (maxBehind): there is no image of %s", s.g.Branch, plural(*s.g.MaxBehind, "commit"), s.counted())
		}
	}
}

// counted returns the first passed commits that count as behind, for messages.
func (s *gitSearch) counted() string {
	var list []string
	for _, c := range s.passed {
		if c.Counted {
			list = append(list, strings.TrimSuffix(fmt.Sprintf("%s (%s)", short(c.ID), c.Subject), " ()"))
		}
	}
	return first(list)
}

// checkPaths returns an error if no path of the policy exists at the head of the
// branch. With a misspelled path, no commit would seem to change anything.
func (s *gitSearch) checkPaths() error {
	if len(s.g.Paths) == 0 {
		return nil
	}
	c, ok, err := s.walk.at(0)
	if err != nil || !ok {
		return err
	}
	subtrees, err := s.history.Subtrees(c.Tree, s.g.Paths)
	if err != nil {
		return err
	}
	var absent []string
	for i, p := range s.g.Paths {
		if subtrees[i] == "" {
			absent = append(absent, p)
		}
	}
	if len(absent) == len(s.g.Paths) {
		return fmt.Errorf("commit %s, the head of branch %s, has none of the paths %s", short(c.ID), s.g.Branch, strings.Join(absent, ", "))
	}
	if len(absent) > 0 {
		s.notes = append(s.notes, fmt.Sprintf("commit %s, the head of branch %s, has no %s", short(c.ID), s.g.Branch, strings.Join(absent, ", ")))
	}
	return nil
}

// checkRollback returns an error if the hit is older than the commit in the lock.
//
// With AllowRollback it adds a note instead.
func (s *gitSearch) checkRollback(ctx context.Context, found *hit) error {
	lock := s.job.previous
	if lock == nil || lock.Git == nil || lock.Git.Repository != withoutUser(s.g.Repository) || lock.Git.Commit == found.commit.ID {
		return nil
	}
	previous := lock.Git
	reason, err := s.rollback(ctx, found, previous)
	switch {
	case s.job.AllowRollback && (err != nil || reason != ""):
		s.notes = append(s.notes, fmt.Sprintf("commit %s is not newer than the locked commit %s: a rollback", short(found.commit.ID), short(previous.Commit)))
		return nil
	case err != nil:
		return fmt.Errorf("comparing commit %s with the locked commit %s: %w", short(found.commit.ID), short(previous.Commit), err)
	case reason != "":
		return fmt.Errorf("%s: refused without --allow-rollback", reason)
	}
	return nil
}

// rollback returns the reason why a hit would be a rollback from the locked commit,
// or "" if it is not one.
func (s *gitSearch) rollback(ctx context.Context, found *hit, previous *selector.LockGit) (string, error) {
	now, locked := found.newest.ID, previous.Commit
	newer, err := s.history.IsAncestor(ctx, locked, now)
	if newer || err != nil && s.walk.index(locked) < 0 {
		return "", err
	}
	if i := s.walk.index(locked); i >= 0 && i < s.walk.index(now) {
		return fmt.Sprintf("commit %s (tag %s) is older than the locked commit %s", short(now), found.builds[0].tag, short(locked)), nil
	}
	onBranch, err := s.history.IsAncestor(ctx, locked, s.tip)
	switch {
	case err != nil:
		return "", err
	case onBranch:
		return fmt.Sprintf("commit %s (tag %s) does not come after the locked commit %s", short(now), found.builds[0].tag, short(locked)), nil
	}
	return fmt.Sprintf("the locked commit %s is no longer on branch %s, which now leads to commit %s (tag %s)",
		short(locked), s.g.Branch, short(now), found.builds[0].tag), nil
}

// withoutUser returns a URL without credentials, which must not get into the lock.
//
// The user of an ssh URL stays, because it is part of the address.
func withoutUser(repository string) string {
	u, err := url.Parse(repository)
	if err != nil || u.User == nil || u.Scheme == "ssh" {
		return repository
	}
	u.User = nil // the user name may be a token
	return u.String()
}

// short returns the abbreviated commit id for messages.
func short(id string) string {
	return id[:min(len(id), 7)]
}

// plural returns "1 tag" or "2 tags".
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
