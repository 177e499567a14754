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

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// trail is a walk through history that can be looked at again. It reads no further than it was asked for.
type trail struct {
	commits []Commit
	indexes map[string]int // by id
	next    func() (Commit, error, bool)
	stop    func()
	err     error // that ended it
}

func newTrail(ctx context.Context, history History, tip string, all bool) *trail {
	t := &trail{indexes: map[string]int{}}
	t.next, t.stop = iter.Pull2(history.Walk(ctx, tip, all))
	return t
}

// at returns a commit, false beyond the root.
func (t *trail) at(i int) (Commit, bool, error) {
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

// index returns where a commit is among those read so far, -1 if it is not.
func (t *trail) index(id string) int {
	if i, ok := t.indexes[id]; ok {
		return i
	}
	return -1
}

// buildsOf returns the builds whose commit may be the one with an id.
func (s *gitSearch) buildsOf(id string) []*build {
	var list []*build
	for _, n := range s.lengths {
		list = append(list, s.byCommit[id[:n]]...)
	}
	return list
}

// pick returns the builds of a commit, best first, or nil if it has none. An
// abbreviation of several commits is an error unless another one is clear.
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

// latest sorts builds of a commit, best first, without those that are gone. The
// registry is asked for those alone that share the highest order, which have to be
// one image.
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
		there, err := s.reader.exists(ctx, b)
		if err != nil {
			return nil, err
		}
		if there {
			best = append(best, b)
		} else {
			b.reason = gone
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
		return nil, fmt.Errorf("%d builds of %s: nothing tells which of %s is the latest (identify.tag.order)", len(digests), short(c.ID), strings.Join(names, ", "))
	}
	return append(best, rest...), nil
}

// decimalOrders reports whether all orders are decimal numbers, or nothing.
func decimalOrders(builds []*build) bool {
	return !slices.ContainsFunc(builds, func(b *build) bool { return strings.Trim(b.order, "0123456789") != "" })
}

// compareOrders compares numbers of any size, or bytes.
func compareOrders(a, b string, decimal bool) int {
	if !decimal || a == "" || b == "" {
		return strings.Compare(a, b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// ambiguous returns another commit of the branch's history that an abbreviation stands for, "" if there is none.
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
		on, err := s.history.IsAncestor(ctx, c.ID, s.tip)
		if err != nil {
			return "", fmt.Errorf("looking for other commits that start with %s: %w", abbreviation, err)
		}
		if on {
			return c.ID, nil
		}
	}
	return "", nil
}

// commitsOf returns the commits that a build's commit may stand for.
func (s *gitSearch) commitsOf(abbreviation string) ([]Commit, error) {
	if s.known != nil {
		return s.known[abbreviation], nil
	}
	found, err := s.history.Find([]string{abbreviation})
	return found[abbreviation], err
}

// findAll asks for the commits of all builds at once.
func (s *gitSearch) findAll() error {
	if s.known != nil {
		return nil
	}
	var err error
	s.known, err = s.history.Find(slices.Collect(maps.Keys(s.byCommit)))
	return err
}

// lenders returns the commits that builds may be of and which have some files, by their ids.
func (s *gitSearch) lenders(files string) (map[string]bool, error) {
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

// borrow returns the image of the nearest older commit whose files are those of the
// i-th, or nil: a commit that takes another back may never be built, since what it
// would build is there.
func (s *gitSearch) borrow(ctx context.Context, i int) (*hit, error) {
	if s.g.NoEqualTrees {
		return nil, nil
	}
	c := s.trail.commits[i]
	key, err := s.files(c)
	if err != nil {
		return nil, err
	}
	wanted, err := s.lenders(key)
	if err != nil {
		return nil, err
	}
	delete(wanted, c.ID) // it has no image, and so it was with those before it
	for j := i + 1; len(wanted) > 0; j++ {
		older, ok, err := s.trail.at(j)
		if err != nil {
			return nil, fmt.Errorf("looking for commits with the files of %s: %w", short(c.ID), err)
		}
		if !ok {
			clear(wanted) // they are of other branches
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
			return s.borrowed(i, j, builds)
		}
	}
	return nil, nil
}

// borrowed is the hit that commit i has the image of commit j: where all between
// them have the same files it is simply the image of commit j.
func (s *gitSearch) borrowed(i, j int, builds []*build) (*hit, error) {
	h := &hit{commit: s.trail.commits[j], at: s.trail.commits[j], newest: s.trail.commits[i], builds: builds, by: builds[0].by}
	key, err := s.files(h.at)
	if err != nil {
		return nil, err
	}
	for _, c := range s.trail.commits[i:j] {
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

// unchanged reports whether a commit has the files of one that the walk comes to from it.
func (s *gitSearch) unchanged(c Commit) (bool, error) {
	parents := c.Parents
	if len(parents) > 1 && s.g.Walk != manifest.WalkAll {
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
		for _, parent := range found[id] { // none where history is cut off
			if other, err := s.files(parent); err != nil || other == key {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// files returns what identifies the files of a commit that count.
func (s *gitSearch) files(c Commit) (string, error) {
	if len(s.g.Paths) == 0 {
		return c.Tree, nil
	}
	if key, ok := s.keys[c.Tree]; ok {
		return key, nil
	}
	there, err := s.history.Subtrees(c.Tree, s.g.Paths)
	if err != nil {
		return "", err
	}
	s.keys[c.Tree] = strings.Join(there, "\n")
	return s.keys[c.Tree], nil
}
