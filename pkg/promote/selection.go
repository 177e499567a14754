package promote

import (
	"cmp"
	"fmt"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Selection is the part of the edges to promote. The zero value is all edges.
type Selection struct {
	Base     *manifest.Set  // only the changes since this earlier state of the manifests
	Approval *plan.Approval // only the plan of an earlier dry run
	Shard    plan.Shard     // only one of several disjoint parts
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
		texts = append(texts, fmt.Sprintf("not tried: what the plan refused or could not read (tags: %d)", n))
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
	selections := s.parts(wanted)
	for _, part := range selections {
		unpinned = part.Unpinned(wanted)
	}
	var shards *plan.Shards
	if s.Shard.Count > 0 {
		shards = wanted.Shards(s.Shard.Count, selections...)
		unpinned = slices.DeleteFunc(unpinned, func(t plan.SourceTag) bool { return !shards.Has(s.Shard.Index, t.Repository) })
		if s.Approval != nil {
			s.Approval.Shard(shards, s.Shard.Index)
		}
	}
	if resolve != nil && len(unpinned) > 0 {
		wanted = plan.Desired(j.Set, resolve(unpinned))
		all = slices.Concat(faults, wanted.Faults)
	}
	for _, part := range selections {
		faults = wanted.Select(part, faults)
	}
	if shards != nil {
		faults = wanted.Shard(shards, s.Shard.Index, faults)
	}
	return wanted, faults, all
}

// ShardSizes returns the sizes of the parts that count shards have. It ignores the
// Shard of the selection.
func (j *Job) ShardSizes(count int) []plan.ShardSize {
	wanted := plan.Desired(j.Set, nil)
	return wanted.Shards(count, j.Selection.parts(wanted)...).Sizes()
}

// parts returns the selected parts of what is wanted offline, except for the shard.
func (s *Selection) parts(wanted *plan.Wanted) (all []*plan.Selection) {
	if s.Base != nil {
		all = append(all, plan.Since(wanted, plan.Desired(s.Base, nil), s.Base.Faults))
	}
	if s.Approval != nil {
		all = append(all, s.Approval.Selection())
	}
	return all
}

// OfSelection returns the faults of a selection and the number of the others. Both
// arguments are results of Job.Wanted.
func OfSelection(faults, all []manifest.Fault) (own []manifest.Fault, elsewhere int) {
	refused := map[manifest.Fault]struct{}{}
	for _, f := range all {
		if f.Severity > manifest.Warning {
			f.Severity = manifest.Warning // as outside of the selection
			refused[f] = struct{}{}
		}
	}
	for _, f := range faults {
		if _, ok := refused[f]; ok {
			elsewhere++
		} else {
			own = append(own, f)
		}
	}
	if elsewhere == 1 {
		return faults, 0 // a count would be no shorter
	}
	return own, elsewhere
}

// referrers returns the targets that get all referrers. asked says whether a target gets
// them if its manifest does not say it. An approved plan decides whether there are any.
func (s *Selection) referrers(targets []*plan.Target, asked bool) []*plan.Target {
	usual := manifest.ReferrersNone
	switch {
	case s.Approval != nil && !s.Approval.Referrers:
		return nil
	case s.Approval != nil || asked:
		usual = manifest.ReferrersAll
	}
	return slices.DeleteFunc(slices.Clone(targets), func(t *plan.Target) bool { return t.Referrers(usual) != manifest.ReferrersAll })
}
