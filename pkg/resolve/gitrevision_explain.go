package resolve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// maxExplained is the maximum number of commits that are read to give reasons for
// rejected tags. The search itself has no such limit.
const maxExplained = 5000

// Ranks of candidates, best first.
const (
	rankChosen  = iota + 1
	rankSame    // another build of the chosen commit
	rankWalked  // a commit of the walk
	rankMerged  // a commit that came with a merge
	rankUnknown // a commit that was not found within maxExplained commits
	rankOff     // a commit that is not on the branch
	rankNone    // no commit id
)

// explain sets the reason and the rank of each build.
//
// It returns counts of the tags that do not belong to the branch, as notes.
func (s *gitSearch) explain(ctx context.Context, found *hit) ([]string, error) {
	if found != nil {
		s.explainHit(found)
	}
	if err := s.findAll(); err != nil {
		return nil, err
	}
	waiting, unknown := map[string][]*build{}, 0 // builds without a reason, by full commit id
	for _, b := range s.builds {
		if b.commit == "" || b.rank != 0 {
			continue
		}
		for _, c := range s.known[b.commit] {
			waiting[c.ID] = append(waiting[c.ID], b)
		}
		if len(s.known[b.commit]) == 0 {
			unknown++
		}
	}
	complete := s.explainWalked(waiting, unknown)
	if s.g.Walk != selector.WalkAll && len(waiting) > 0 {
		complete = s.explainMerged(ctx, waiting)
	}
	for _, b := range s.builds {
		if b.commit == "" || b.rank != 0 {
			continue
		}
		found := s.known[b.commit]
		switch b.rank = rankOff; {
		case len(found) == 0 && s.walk.err == nil:
			b.explain("commit %s is not in the git repository", b.commit)
		case len(found) == 0:
			b.rank = rankUnknown
			b.explain("commit %s is not in the available history", b.commit)
		case complete:
			b.explain("commit %s is not on branch %s", short(found[0].ID), s.g.Branch)
		default:
			b.rank = rankUnknown
			b.explain("commit %s is not among the newest of branch %s", short(found[0].ID), s.g.Branch)
		}
	}
	return s.counts(found), ctx.Err()
}

// explain sets a build's reason, unless it has one.
func (b *build) explain(format string, args ...any) {
	if b.reason == "" {
		b.reason = fmt.Sprintf(format, args...)
	}
}

// explainHit sets the reasons for builds of the chosen commit.
func (s *gitSearch) explainHit(found *hit) {
	best := found.builds[0]
	best.rank = rankChosen
	best.reason = fmt.Sprintf("commit %s is the newest on branch %s with an image", short(found.at.ID), s.g.Branch)
	if found.at.ID != found.newest.ID {
		best.reason = fmt.Sprintf("commit %s has the files of commit %s, the newest on branch %s with an image", short(found.at.ID), short(found.newest.ID), s.g.Branch)
	}
	var same, earlier []string
	for i, b := range found.builds[1:] {
		b.rank, b.position = rankSame, i
		if b.digest == best.digest {
			b.reason = fmt.Sprintf("the image of tag %s", best.tag)
			same = append(same, b.tag)
			continue
		}
		b.reason = fmt.Sprintf("another build of commit %s, before tag %s in order", short(found.at.ID), best.tag)
		earlier = append(earlier, b.tag)
	}
	if len(same) > 0 {
		s.notes = append(s.notes, fmt.Sprintf("the image has other tags for commit %s: %s", short(found.at.ID), strings.Join(same, ", ")))
	}
	if len(earlier) > 0 {
		s.notes = append(s.notes, fmt.Sprintf("commit %s has earlier builds: %s", short(found.at.ID), strings.Join(earlier, ", ")))
	}
	if found.by == byTree {
		s.notes = append(s.notes, fmt.Sprintf("commit %s has no image of its own: its files are those of commit %s", short(found.commit.ID), short(found.at.ID)))
	}
	if found.behind > 0 {
		s.notes = append(s.notes, fmt.Sprintf("%s behind the head of branch %s: there is no image of %s", plural(found.behind, "commit"), s.g.Branch, s.counted()))
	}
}

// explainWalked sets the reasons of builds of commits on the walk, and removes them
// from waiting.
//
// It reports whether the search is complete: the walk reached the root, or no commit
// is left to look for. Unknown commits keep the walk going, to learn whether the
// history is cut off. In that case they may be beyond its end.
func (s *gitSearch) explainWalked(waiting map[string][]*build, unknown int) bool {
	for i := 0; len(waiting)+unknown > 0 && i < max(maxExplained, len(s.walk.commits)); i++ {
		c, ok, err := s.walk.at(i)
		if err != nil || !ok {
			return err == nil
		}
		explainBuilds(waiting, c, rankWalked, i, "is older")
	}
	return len(waiting) == 0
}

// explainBuilds sets rank, position and reason of the builds of a commit, and removes
// them from waiting.
func explainBuilds(waiting map[string][]*build, c Commit, rank, position int, reason string) {
	for _, b := range waiting[c.ID] {
		if b.rank == 0 {
			b.rank, b.position = rank, position
			b.explain("commit %s %s", short(c.ID), reason)
		}
	}
	delete(waiting, c.ID)
}

// explainMerged does the same for commits other than first parents.
func (s *gitSearch) explainMerged(ctx context.Context, waiting map[string][]*build) bool {
	n := 0
	for c, err := range s.history.Walk(ctx, s.tip, true) {
		if err != nil {
			return false
		}
		explainBuilds(waiting, c, rankMerged, n, "came with a merge: the walk goes along first parents")
		if n++; n >= maxExplained || len(waiting) == 0 {
			return false
		}
	}
	return true
}

// counts returns the numbers of builds that do not belong to the branch, as notes.
func (s *gitSearch) counts(found *hit) []string {
	var off, unsure, beyond, none int
	for _, b := range s.builds {
		switch {
		case b.commit == "":
			b.rank = rankNone
			none++
		case b.rank == rankOff:
			off++
		case b.rank == rankUnknown && found == nil:
			unsure++
		case b.rank == rankUnknown && s.walk.err != nil && found.behind > 0 && !s.g.NoEqualTrees:
			beyond++
		}
	}
	var counts []string
	if off > 0 {
		counts = append(counts, plural(off, "tag")+" of commits off the branch")
	}
	if unsure > 0 {
		counts = append(counts, plural(unsure, "tag")+" of commits that are not in the history that was read")
	}
	if beyond > 0 {
		counts = append(counts, plural(beyond, "tag")+" of commits beyond the end of this shallow history, which may have the files of a newer commit")
	}
	if none > 0 {
		counts = append(counts, plural(none, "tag")+" without a commit id")
	}
	return counts
}

// candidates returns the builds as candidates, best first.
func (s *gitSearch) candidates() []Candidate {
	slices.SortFunc(s.builds, func(a, b *build) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.position, b.position),
			compareOrders(b.order, a.order, false), strings.Compare(b.tag, a.tag))
	})
	list := make([]Candidate, len(s.builds))
	for i, b := range s.builds {
		list[i] = Candidate{Tag: b.tag, Digest: b.digest, Chosen: b.chosen, Reason: b.reason}
	}
	return list
}
