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

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// History reads the git repository that a git revision policy names.
type History interface {
	// Tip returns the id of the commit at a branch's head.
	Tip(branch string) (string, error)
	// Walk goes back from a commit, along first parents or with all the latest committed
	// first. Where history is cut off it ends with an error.
	Walk(ctx context.Context, tip string, all bool) iter.Seq2[Commit, error]
	// Subtrees returns what identifies the files that a tree has at some paths, "" where it has none.
	Subtrees(tree string, paths []string) ([]string, error)
	// IsAncestor reports whether a is b or b came from it; an error if history is cut off before that is known.
	IsAncestor(ctx context.Context, a, b string) (bool, error)
	// Find returns the commits whose ids start with each abbreviation, on any branch or none.
	Find(abbreviations []string) (map[string][]Commit, error)
}

// Commit is a commit of a History.
type Commit struct {
	ID, Tree string
	Parents  []string
	Subject  string
	When     time.Time
}

// How the image of a commit was told, in manifest.LockGit.
const (
	byTag   = "tag"
	byLabel = "label"
	byTree  = "tree" // it is the image of an older commit with the same files
)

// errNoImage says that history was read to its root.
var errNoImage = errors.New("no image")

// gitRevision takes the image of the newest commit on a branch that has one. When it
// fails, the candidates that it saw are returned with the error.
func (j *job) gitRevision(ctx context.Context) (*Choice, error) {
	all, err := j.Registry.Tags(ctx, j.Repository)
	if err != nil {
		return nil, err
	}
	values, rejected := j.filter(all)
	tags := make([]string, len(values))
	for i, v := range values {
		tags[i] = v.tag
	}
	slices.Sort(tags) // what is told must not depend on the registry's order
	slices.Reverse(tags)
	g := j.Select.GitRevision
	history, release, err := j.History(ctx, g.Repository, g.Branch)
	if err != nil {
		return nil, err
	}
	defer release()
	choice, err := j.newestCommit(ctx, g, tags, history)
	if choice != nil {
		choice.Candidates = append(choice.Candidates, sorted(rejected)...)
	}
	return choice, err
}

// newestCommit tries one way after the other to tell commits, until an image is found.
func (j *job) newestCommit(ctx context.Context, g *manifest.GitRevision, tags []string, history History) (*Choice, error) {
	tip, err := history.Tip(g.Branch)
	if err != nil {
		return nil, err
	}
	reader := &buildReader{job: j, atLeast: minAbbreviation(g)}
	var first *Choice
	var failure error
	for _, method := range identifications(g) {
		builds, err := method.identify(ctx, reader, tags)
		if err != nil {
			return nil, err
		}
		s := &gitSearch{g: g, reader: reader, history: history, builds: builds, tip: tip, keys: map[string]string{}}
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

func minAbbreviation(g *manifest.GitRevision) int {
	if g.MinAbbreviation == 0 {
		return 7 // what git prints, and what builds are named after
	}
	return g.MinAbbreviation
}

// gitSearch is one search for the image of a branch.
type gitSearch struct {
	g       *manifest.GitRevision
	reader  *buildReader
	history History
	tip     string
	builds  []*build

	byCommit map[string][]*build // by the commit as it is written
	lengths  []int               // of the keys of byCommit
	trail    *trail
	keys     map[string]string          // what identifies the files of a tree that count
	known    map[string][]Commit        // the commits that keys of byCommit abbreviate; nil: not yet asked for
	byFiles  map[string]map[string]bool // ids of known commits that may lend their image, by what identifies their files
	notes    []string
}

// hit is where in history an image was found.
type hit struct {
	commit Commit   // that the result is of
	at     Commit   // that the image was built from
	newest Commit   // that has the same files
	builds []*build // its builds, best first
	behind int
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
	s.trail = newTrail(ctx, s.history, s.tip, s.g.Walk == manifest.WalkAll)
	defer s.trail.stop()
	found, err := s.search(ctx)
	if err == nil {
		err = s.guard(ctx, found)
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
	choice.Candidates, choice.Notes = s.candidates(), append(s.notes, counts...)
	if errors.Is(err, errNoImage) {
		err = fmt.Errorf("%w on branch %s: %s", err, s.g.Branch, strings.Join(append([]string{tally(len(s.builds), "tag")}, counts...), ", "))
	}
	return choice, err
}

// choice is what is known of a hit.
func (s *gitSearch) choice(found *hit) *Choice {
	best := found.builds[0]
	best.chosen = true
	return &Choice{
		Tag:     best.tag,
		Digest:  best.digest,
		Default: []string{best.tag},
		Fields:  manifest.TagFields{Commit: found.commit.ID},
		Git: &manifest.LockGit{
			Repository: public(s.g.Repository),
			Branch:     s.g.Branch,
			Tip:        s.tip,
			Commit:     found.commit.ID,
			Behind:     found.behind,
			By:         found.by,
		},
	}
}

// search goes back in history to the first commit that has an image.
func (s *gitSearch) search(ctx context.Context) (*hit, error) {
	if err := s.checkPaths(); err != nil {
		return nil, err
	}
	behind := 0
	for i := 0; ; i++ {
		c, ok, err := s.trail.at(i)
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
		found, err := s.borrow(ctx, i)
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
		if unchanged {
			continue
		}
		if behind++; s.g.MaxBehind != nil && behind > *s.g.MaxBehind {
			return nil, fmt.Errorf("the newest image on branch %s is more than %s behind (maxBehind)", s.g.Branch, tally(*s.g.MaxBehind, "commit"))
		}
	}
}

// checkPaths refuses paths of which none exists: no commit would seem to change anything.
func (s *gitSearch) checkPaths() error {
	if len(s.g.Paths) == 0 {
		return nil
	}
	c, ok, err := s.trail.at(0)
	if err != nil || !ok {
		return err
	}
	there, err := s.history.Subtrees(c.Tree, s.g.Paths)
	if err != nil {
		return err
	}
	var absent []string
	for i, p := range s.g.Paths {
		if there[i] == "" {
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

// guard refuses a result that does not come after what the lock says.
func (s *gitSearch) guard(ctx context.Context, found *hit) error {
	lock := s.reader.previous
	if lock == nil || lock.Git == nil || lock.Git.Repository != public(s.g.Repository) || lock.Git.Commit == found.commit.ID {
		return nil
	}
	previous := lock.Git
	why, err := s.rollback(ctx, found, previous)
	switch {
	case s.reader.AllowRollback && (err != nil || why != ""):
		s.notes = append(s.notes, fmt.Sprintf("commit %s is not newer than the locked commit %s: a rollback", short(found.commit.ID), short(previous.Commit)))
		return nil
	case err != nil:
		return fmt.Errorf("comparing commit %s with the locked commit %s: %w", short(found.commit.ID), short(previous.Commit), err)
	case why != "":
		return fmt.Errorf("%s: refused without --allow-rollback", why)
	}
	return nil
}

// rollback says why a hit does not come after the locked commit, "" if it does.
func (s *gitSearch) rollback(ctx context.Context, found *hit, previous *manifest.LockGit) (string, error) {
	now, locked := found.newest.ID, previous.Commit
	newer, err := s.history.IsAncestor(ctx, locked, now)
	if newer || err != nil && s.trail.index(locked) < 0 {
		return "", err
	}
	if i := s.trail.index(locked); i >= 0 && i < s.trail.index(now) {
		return fmt.Sprintf("commit %s (tag %s) is older than the locked commit %s", short(now), found.builds[0].tag, short(locked)), nil
	}
	on, err := s.history.IsAncestor(ctx, locked, s.tip)
	switch {
	case err != nil:
		return "", err
	case on:
		return fmt.Sprintf("commit %s (tag %s) does not come after the locked commit %s", short(now), found.builds[0].tag, short(locked)), nil
	}
	return fmt.Sprintf("the locked commit %s is no longer on branch %s, which now leads to commit %s (tag %s)",
		short(locked), s.g.Branch, short(now), found.builds[0].tag), nil
}

// public returns a URL without what lets one in.
func public(repository string) string {
	u, err := url.Parse(repository)
	if err != nil || u.User == nil || u.Scheme == "ssh" {
		return repository
	}
	u.User = nil // a token may stand in place of the name
	return u.String()
}

// short abbreviates a commit id for people.
func short(id string) string {
	return id[:min(len(id), 7)]
}

// tally returns "1 tag" or "2 tags".
func tally(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
