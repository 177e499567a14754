package promote

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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

// ApprovalWarnings returns warnings about an approval: the manifests differ from those
// that the plan was made from, or edges of the plan are not approved. set has the manifests.
func (s *Selection) ApprovalWarnings(set *manifest.Set) (texts []string) {
	if from := s.Approval.Origin; from.Digest != set.Digest {
		name := cmp.Or(from.Digest, "digest unknown")
		if from.Commit != "" {
			name += ", commit " + from.Commit
		}
		texts = append(texts, fmt.Sprintf("the manifests are not those that the plan was made from (%s): what they do not want is refused", name))
	}
	if n := s.Approval.Refused; n > 0 {
		texts = append(texts, fmt.Sprintf("not tried: what was refused or could not be read when the plan was made (edges: %d)", n))
	}
	return texts
}

// maxBaseFaults is the number of faults of a base that are named in warnings.
const maxBaseFaults = 10

// BaseWarnings returns warnings about parts of the base that could not be read: they
// count as new. path is where the manifests are.
func (s *Selection) BaseWarnings(path string) (texts []string) {
	if len(s.Base.Manifests) == 0 && !s.Base.Broken() {
		return []string{fmt.Sprintf("that revision has no manifests at %s: all are new", path)}
	}
	more := 0
	for _, f := range s.Base.Faults {
		switch {
		case f.Severity != manifest.Broken:
		case len(texts) < maxBaseFaults:
			texts = append(texts, fmt.Sprintf("what could not be read in that revision counts as new: %s", f))
		default:
			more++
		}
	}
	if more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more such faults", more))
	}
	return texts
}

// Wanted returns the selected part of the wanted edges and the faults of that part:
// faults that are wholly outside of it are warnings. all are the faults of all
// manifests, with no regard to the selection. resolve reads source tags; if it is
// nil, the digests of retag entries without a pin stay unknown.
func (j *Job) Wanted(resolve func([]plan.SourceTag) map[plan.SourceTag]plan.Resolution) (wanted *plan.Wanted, faults, all []manifest.Fault) {
	s := &j.Selection
	wanted, unpinned, faults := plan.Desired(j.Set, nil), plan.Unpinned(j.Set), j.Set.Faults
	all = slices.Concat(faults, wanted.Faults)
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
	return wanted, faults, all
}

// referrers reports whether referrers are promoted. An approved plan decides that itself.
func (s *Selection) referrers(asked bool) bool {
	if s.Approval != nil {
		return s.Approval.Referrers
	}
	return asked
}
