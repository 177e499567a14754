package resolve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// tellAbout is how many commits are read to tell where tags belong that were not
// taken. It bounds what a note costs; the choice itself reads what it needs.
const tellAbout = 5000

// Ranks of candidates, best first.
const (
	rankChosen = iota + 1
	rankSame   // another build of the chosen image's commit
	rankWalked // a commit that the walk comes to
	rankMerged // a commit that came with a merge
	rankUnsure // a commit whose place was not found within tellAbout
	rankOff    // a commit off the branch
	rankNone   // no commit
)

// explain gives each build its reason and place, and returns the counts that people should know.
func (s *gitSearch) explain(ctx context.Context, found *hit) ([]string, error) {
	if found != nil {
		s.explainHit(found)
	}
	if err := s.findAll(); err != nil {
		return nil, err
	}
	waiting, unknown := map[string][]*build{}, 0 // by whole id
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
	if s.g.Walk != manifest.WalkAll && len(waiting) > 0 {
		complete = s.explainMerged(ctx, waiting)
	}
	for _, b := range s.builds {
		if b.commit == "" || b.rank != 0 {
			continue
		}
		here := s.known[b.commit]
		switch b.rank = rankOff; {
		case len(here) == 0 && s.trail.err == nil:
			b.explain("commit %s is not in the git repository", b.commit)
		case len(here) == 0:
			b.rank = rankUnsure
			b.explain("commit %s is not in the history that there is", b.commit)
		case complete:
			b.explain("commit %s is not on branch %s", short(here[0].ID), s.g.Branch)
		default:
			b.rank = rankUnsure
			b.explain("commit %s is not among the newest of branch %s", short(here[0].ID), s.g.Branch)
		}
	}
	return s.counts(found), ctx.Err()
}

// explain sets the reason of a build that has none.
func (b *build) explain(format string, args ...any) {
	if b.reason == "" {
		b.reason = fmt.Sprintf(format, args...)
	}
}

// explainHit explains the builds of the commit that was taken.
func (s *gitSearch) explainHit(found *hit) {
	best := found.builds[0]
	best.rank = rankChosen
	best.reason = fmt.Sprintf("commit %s is the newest on branch %s with an image", short(found.at.ID), s.g.Branch)
	if found.at.ID != found.newest.ID {
		best.reason = fmt.Sprintf("commit %s has the files of commit %s, the newest on branch %s with an image", short(found.at.ID), short(found.newest.ID), s.g.Branch)
	}
	var same, earlier []string
	for i, b := range found.builds[1:] {
		b.rank, b.back = rankSame, i
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
		s.notes = append(s.notes, fmt.Sprintf("%s behind the head of branch %s", tally(found.behind, "commit"), s.g.Branch))
	}
}

// explainWalked explains the builds of commits on the walk, and removes them. It
// reports whether the walk came to its end. Builds of unknown commits make it go on
// as well: where history is cut off, they may be beyond.
func (s *gitSearch) explainWalked(waiting map[string][]*build, unknown int) bool {
	for i := 0; len(waiting)+unknown > 0 && i < max(tellAbout, len(s.trail.commits)); i++ {
		c, ok, err := s.trail.at(i)
		if err != nil || !ok {
			return err == nil
		}
		for _, b := range waiting[c.ID] {
			if b.rank == 0 {
				b.rank, b.back = rankWalked, i
				b.explain("commit %s is older", short(c.ID))
			}
		}
		delete(waiting, c.ID)
	}
	return len(waiting) == 0
}

// explainMerged does the same for commits that a walk along first parents passes by.
func (s *gitSearch) explainMerged(ctx context.Context, waiting map[string][]*build) bool {
	n := 0
	for c, err := range s.history.Walk(ctx, s.tip, true) {
		if err != nil {
			return false
		}
		for _, b := range waiting[c.ID] {
			if b.rank == 0 {
				b.rank, b.back = rankMerged, n
				b.explain("commit %s came with a merge: the walk goes along first parents", short(c.ID))
			}
		}
		delete(waiting, c.ID)
		if n++; n >= tellAbout || len(waiting) == 0 {
			return false
		}
	}
	return true
}

// counts says how many builds are no candidates for the branch.
func (s *gitSearch) counts(found *hit) []string {
	var off, unsure, beyond, none int
	for _, b := range s.builds {
		switch {
		case b.commit == "":
			b.rank = rankNone
			none++
		case b.rank == rankOff:
			off++
		case b.rank == rankUnsure && found == nil:
			unsure++
		case b.rank == rankUnsure && s.trail.err != nil && found.behind > 0 && !s.g.NoEqualTrees:
			beyond++
		}
	}
	var counts []string
	if off > 0 {
		counts = append(counts, tally(off, "tag")+" of commits off the branch")
	}
	if unsure > 0 {
		counts = append(counts, tally(unsure, "tag")+" of commits that are not in the history that was read")
	}
	if beyond > 0 {
		counts = append(counts, tally(beyond, "tag")+" of commits beyond the end of this history: an image of them may be that of a newer commit with the same files")
	}
	if none > 0 {
		counts = append(counts, tally(none, "tag")+" that no commit can be told of")
	}
	return counts
}

// candidates returns what became of each build, best first.
func (s *gitSearch) candidates() []Candidate {
	slices.SortFunc(s.builds, func(a, b *build) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.back, b.back),
			compareOrders(b.order, a.order, false), strings.Compare(b.tag, a.tag))
	})
	list := make([]Candidate, len(s.builds))
	for i, b := range s.builds {
		list[i] = Candidate{Tag: b.tag, Digest: b.digest, Chosen: b.chosen, Reason: b.reason}
	}
	return list
}
