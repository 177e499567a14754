package resolve

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// commitWalk walks through history and keeps the commits.
//
// It reads history lazily, as far as at is called.
type commitWalk struct {
	commits []Commit
	indexes map[string]int // index in commits, by id
	next    func() (Commit, error, bool)
	stop    func()
	err     error // error that ended the walk
}

func newCommitWalk(ctx context.Context, history History, tip string, all bool) *commitWalk {
	t := &commitWalk{indexes: map[string]int{}}
	t.next, t.stop = iter.Pull2(history.Walk(ctx, tip, all))
	return t
}

// at returns the i-th commit of the walk. It returns false if there are fewer.
func (t *commitWalk) at(i int) (Commit, bool, error) {
	for i >= len(t.commits) && t.err == nil {
		c, err, ok := t.next()
		if t.err = err; err != nil || !ok {
			return Commit{}, false, err
		}
		t.indexes[c.ID] = len(t.commits)
		t.commits = append(t.commits, c)
	}
	if i >= len(t.commits) {
		return Commit{}, false, t.err
	}
	return t.commits[i], true, nil
}

// index returns the index of a known commit, or -1.
func (t *commitWalk) index(id string) int {
	if i, ok := t.indexes[id]; ok {
		return i
	}
	return -1
}

// buildsOf returns the builds whose commit id matches id.
func (s *gitSearch) buildsOf(id string) []*build {
	var list []*build
	for _, n := range s.lengths {
		list = append(list, s.byCommit[id[:n]]...)
	}
	return list
}

// pick returns the builds of a commit, best first, or nil if it has none.
//
// It is an error if all builds of the commit have an ambiguous abbreviation.
func (s *gitSearch) pick(ctx context.Context, c Commit) ([]*build, error) {
	var builds, unclear []*build
	var twin string
	for _, b := range s.buildsOf(c.ID) {
		other, err := s.ambiguous(ctx, b.commit, c.ID)
		if err != nil {
			return nil, err
		}
		if other == "" {
			builds = append(builds, b)
			continue
		}
		b.reason = fmt.Sprintf("commit %s is ambiguous: %s and %s", b.commit, c.ID, other)
		unclear, twin = append(unclear, b), other
	}
	builds, err := s.latest(ctx, c, builds)
	if err == nil && len(builds) == 0 && len(unclear) > 0 {
		err = fmt.Errorf("tag %s is ambiguous: commits %s and %s start with %s", unclear[0].tag, c.ID, twin, unclear[0].commit)
	}
	return builds, err
}

// latest returns the existing builds of a commit, best first.
//
// Only builds with the highest order are read from the registry. It is an error if
// they have different digests.
func (s *gitSearch) latest(ctx context.Context, c Commit, builds []*build) ([]*build, error) {
	decimal := decimalOrders(builds)
	slices.SortFunc(builds, func(a, b *build) int {
		return cmp.Or(compareOrders(b.order, a.order, decimal), strings.Compare(b.tag, a.tag))
	})
	var best, rest []*build
	for _, b := range builds {
		if len(best) > 0 && compareOrders(b.order, best[0].order, decimal) != 0 {
			rest = append(rest, b)
			continue
		}
		exists, err := s.job.exists(ctx, b)
		if err != nil {
			return nil, err
		}
		if exists {
			best = append(best, b)
		} else {
			b.reason = removed
		}
	}
	digests, names := map[v1.Hash]bool{}, []string{}
	for _, b := range best {
		if !digests[b.digest] {
			digests[b.digest] = true
			names = append(names, fmt.Sprintf("%s (%s)", b.tag, b.digest))
		}
	}
	if len(digests) > 1 {
		return nil, fmt.Errorf("%d builds of %s: cannot decide which of %s is the latest (identify.tag.order)", len(digests), short(c.ID), strings.Join(names, ", "))
	}
	return append(best, rest...), nil
}

// decimalOrders reports whether all orders are decimal numbers or empty.
func decimalOrders(builds []*build) bool {
	return !slices.ContainsFunc(builds, func(b *build) bool { return strings.Trim(b.order, "0123456789") != "" })
}

// compareOrders compares two orders, as decimal numbers of any length or as bytes. An
// empty order is the lowest.
func compareOrders(a, b string, decimal bool) int {
	if !decimal || a == "" || b == "" {
		return strings.Compare(a, b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// ambiguous returns another commit of the branch with the same abbreviation, or "" if
// there is none.
func (s *gitSearch) ambiguous(ctx context.Context, abbreviation, id string) (string, error) {
	if len(abbreviation) == len(id) {
		return "", nil
	}
	same, err := s.commitsOf(abbreviation)
	if err != nil {
		return "", err
	}
	for _, c := range same {
		if c.ID == id {
			continue
		}
		onBranch, err := s.history.IsAncestor(ctx, c.ID, s.tip)
		if err != nil {
			return "", fmt.Errorf("looking for other commits that start with %s: %w", abbreviation, err)
		}
		if onBranch {
			return c.ID, nil
		}
	}
	return "", nil
}

// commitsOf returns the commits whose ids start with an abbreviation.
func (s *gitSearch) commitsOf(abbreviation string) ([]Commit, error) {
	if s.known != nil {
		return s.known[abbreviation], nil
	}
	found, err := s.history.Find([]string{abbreviation})
	return found[abbreviation], err
}

// findAll finds the commits of all builds in one pass.
func (s *gitSearch) findAll() error {
	if s.known != nil {
		return nil
	}
	var err error
	s.known, err = s.history.Find(slices.Collect(maps.Keys(s.byCommit)))
	return err
}

// commitsWithFiles returns the ids of commits that have builds and the given files.
//
// files is a result of the method files. equalTree removes commits from the returned
// map once it is known that they have no image.
func (s *gitSearch) commitsWithFiles(files string) (map[string]bool, error) {
	if s.byFiles != nil {
		return s.byFiles[files], nil
	}
	if err := s.findAll(); err != nil {
		return nil, err
	}
	s.byFiles = map[string]map[string]bool{}
	for _, commits := range s.known {
		for _, c := range commits {
			key, err := s.files(c)
			if err != nil {
				return nil, err
			}
			if s.byFiles[key] == nil {
				s.byFiles[key] = map[string]bool{}
			}
			s.byFiles[key][c.ID] = true
		}
	}
	return s.byFiles[files], nil
}

// equalTree returns the image of the nearest older commit that has the same files as
// the i-th commit, or nil.
//
// Build systems may skip a commit that reverts another one, because the image of
// its files exists already.
func (s *gitSearch) equalTree(ctx context.Context, i int) (*hit, error) {
	if s.g.NoEqualTrees {
		return nil, nil
	}
	c := s.walk.commits[i]
	key, err := s.files(c)
	if err != nil {
		return nil, err
	}
	wanted, err := s.commitsWithFiles(key)
	if err != nil {
		return nil, err
	}
	delete(wanted, c.ID) // search found no image for it
	for j := i + 1; len(wanted) > 0; j++ {
		older, ok, err := s.walk.at(j)
		if err != nil {
			return nil, fmt.Errorf("looking for commits with the files of %s: %w", short(c.ID), err)
		}
		if !ok {
			clear(wanted) // the remaining commits are on other branches
			break
		}
		if !wanted[older.ID] {
			continue
		}
		builds, err := s.pick(ctx, older)
		if err != nil {
			return nil, err
		}
		if builds != nil {
			return s.newEqualTreeHit(i, j, builds)
		}
	}
	return nil, nil
}

// newEqualTreeHit returns the hit that commit i has the image of commit j.
//
// If all commits between them have the same files, it is a plain hit for commit j.
func (s *gitSearch) newEqualTreeHit(i, j int, builds []*build) (*hit, error) {
	h := &hit{commit: s.walk.commits[j], at: s.walk.commits[j], newest: s.walk.commits[i], builds: builds, by: builds[0].by}
	key, err := s.files(h.at)
	if err != nil {
		return nil, err
	}
	for _, c := range s.walk.commits[i:j] {
		between, err := s.files(c)
		if err != nil {
			return nil, err
		}
		if between != key {
			h.commit, h.by = h.newest, byTree
		}
	}
	return h, nil
}

// unchanged reports whether a commit has the same files as one of its parents on the
// walk.
func (s *gitSearch) unchanged(c Commit) (bool, error) {
	parents := c.Parents
	if len(parents) > 1 && s.g.Walk != selector.WalkAll {
		parents = parents[:1]
	}
	found, err := s.history.Find(parents)
	if err != nil {
		return false, err
	}
	key, err := s.files(c)
	if err != nil {
		return false, err
	}
	for _, id := range parents {
		for _, parent := range found[id] { // empty where the history is cut off
			if other, err := s.files(parent); err != nil || other == key {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// files returns a key for the files of a commit at the paths of the policy. Commits
// with equal files have equal keys.
func (s *gitSearch) files(c Commit) (string, error) {
	if len(s.g.Paths) == 0 {
		return c.Tree, nil
	}
	if key, ok := s.keys[c.Tree]; ok {
		return key, nil
	}
	subtrees, err := s.history.Subtrees(c.Tree, s.g.Paths)
	if err != nil {
		return "", err
	}
	s.keys[c.Tree] = strings.Join(subtrees, "\n")
	return s.keys[c.Tree], nil
}
