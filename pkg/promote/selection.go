package promote

import (
	"errors"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Selection is the part of the edges to promote. The zero value is all edges.
type Selection struct {
	Base     *manifest.Set  // only the changes since this earlier state of the manifests
	Approval *plan.Approval // only the plan of an earlier dry run
	Shard    Shard          // only one of several disjoint parts
}

// Shard is one of Count disjoint parts. Index counts from 0. The zero value is everything.
type Shard struct{ Index, Count int }

// ParseShard parses "I/N" with 0 ≤ I < N. The empty string is everything.
func ParseShard(s string) (Shard, error) {
	if s == "" {
		return Shard{}, nil
	}
	i, n, _ := strings.Cut(s, "/")
	index, err := strconv.Atoi(i)
	count, countErr := strconv.Atoi(n)
	if err != nil || countErr != nil || index < 0 || index >= count {
		return Shard{}, errors.New("want I/N with 0 ≤ I < N")
	}
	return Shard{index, count}, nil
}

// Wanted returns the selected part of the wanted edges, and the faults of the manifests.
// Faults outside of that part are warnings. resolve reads source tags; with nil nothing
// is read, and retag entries without a pin have no digest.
func (j *Job) Wanted(resolve func([]plan.SourceTag) map[plan.SourceTag]plan.Resolution) (*plan.Wanted, []manifest.Fault) {
	s := &j.Selection
	wanted, unpinned, faults := plan.Desired(j.Set, nil), plan.Unpinned(j.Set), j.Set.Faults
	var since, approved *plan.Selection
	if s.Base != nil {
		since = plan.Since(wanted, plan.Desired(s.Base, nil), s.Base.Faults)
		unpinned = since.Unpinned(wanted)
	}
	if s.Approval != nil {
		approved = s.Approval.Selection()
		unpinned = approved.Unpinned(wanted)
	}
	if resolve != nil && len(unpinned) > 0 {
		wanted = plan.Desired(j.Set, resolve(unpinned))
	}
	for _, selection := range []*plan.Selection{since, approved} {
		if selection != nil {
			faults = wanted.Select(selection, faults)
		}
	}
	if s.Shard.Count > 0 {
		faults = wanted.Shard(s.Shard.Index, s.Shard.Count, faults)
	}
	return wanted, faults
}

// referrers reports whether referrers are promoted. An approved plan decides that itself.
func (s *Selection) referrers(asked bool) bool {
	if s.Approval != nil {
		return s.Approval.Referrers
	}
	return asked
}
