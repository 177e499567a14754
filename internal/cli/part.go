package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// partOptions say which part of what the manifests want is done.
type partOptions struct {
	since string
	shard string
	plan  string
}

func (o *partOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.since, "since", "", "do only what the manifests changed since this git `revision`")
	f.StringVar(&o.shard, "shard", "", "do only the `I/N`th of N disjoint parts (0 ≤ I < N)")
	f.StringVar(&o.plan, "plan", "", "do only what this `file`, the JSON report of an earlier dry run, planned, and refuse what has moved since")
}

// selected is the part of what the manifests want that a run is about.
type selected struct {
	index, count int            // of the shard; count 0: all
	base         *manifest.Set  // the manifests at the revision; nil without --since
	commit       string         // that the revision names
	approval     *plan.Approval // nil without --plan
	outside      int            // edges that are wanted, but not in the part that was selected last
}

// choose reads what the options name. at loads the manifests at a revision. Warnings go to warn.
func (o *partOptions) choose(paths []string, at func(string) (*manifest.Set, string, error), set *manifest.Set, warn func(...string)) (s selected, err error) {
	if s.index, s.count, err = parseShard(o.shard); err != nil {
		return s, err
	}
	if o.plan != "" {
		if s.approval, err = readPlan(o.plan); err != nil {
			return s, fmt.Errorf("reading --plan %s: %w", o.plan, err)
		}
		if from := s.approval.Origin; from.Digest != set.Digest {
			warn(fmt.Sprintf("the manifests are not those that the plan was made from (%s): what they do not want is refused", manifestsName(from)))
		}
		if n := s.approval.Refused; n > 0 {
			warn(fmt.Sprintf("not tried: what was refused or could not be read when the plan was made (edges: %d)", n))
		}
		if s.count > 0 {
			s.approval.Shard(s.index, s.count)
		}
	}
	if o.since != "" {
		if s.base, s.commit, err = at(o.since); err != nil {
			return s, fmt.Errorf("reading --since %s: %w", o.since, err)
		}
		warn(o.doubts(paths, s.base)...)
	}
	return s, nil
}

// doubts returns what of the base could not be read.
func (o *partOptions) doubts(paths []string, base *manifest.Set) []string {
	if len(base.Manifests) == 0 && !base.Broken() {
		return []string{fmt.Sprintf("--since %s: that revision has no manifests at %s: all are new", o.since, strings.Join(paths, ","))}
	}
	var texts []string
	more := 0
	for _, f := range base.Faults {
		switch {
		case f.Severity != manifest.Broken:
		case len(texts) < mostTold:
			texts = append(texts, fmt.Sprintf("--since %s: what could not be read in that revision counts as new: %s", o.since, f))
		default:
			more++
		}
	}
	if more > 0 {
		texts = append(texts, fmt.Sprintf("--since %s: and %d more such faults", o.since, more))
	}
	return texts
}

// mostTold is the number of a revision's faults that are told one by one.
const mostTold = 10

// manifestsName names the manifests that a report is about.
func manifestsName(o plan.Origin) string {
	name := o.Digest
	if name == "" {
		name = "digest unknown"
	}
	if o.Commit != "" {
		name += ", commit " + o.Commit
	}
	return name
}

// readPlan reads the report of a dry run.
func readPlan(name string) (*plan.Approval, error) {
	f, err := os.Open(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // the caller names the file
		}
		return nil, err
	}
	defer f.Close()
	report, err := output.ReadReport(f)
	if err != nil {
		return nil, err
	}
	return report.Approve()
}

// of returns what the selected part of the manifests wants, and the manifests'
// faults, of which those wholly outside are warnings. resolve reads source tags;
// without it what they lead to is not known.
func (s *selected) of(set *manifest.Set, resolve func([]plan.SourceTag) map[plan.SourceTag]plan.Resolution) (*plan.Wanted, []manifest.Fault) {
	wanted, unpinned, faults := plan.Desired(set, nil), plan.Unpinned(set), set.Faults
	var since, approved *plan.Selection
	if s.base != nil {
		since = plan.Since(wanted, plan.Desired(s.base, nil), s.base.Faults)
		unpinned = since.Unpinned(wanted)
	}
	if s.approval != nil {
		approved = s.approval.Selection()
		unpinned = approved.Unpinned(wanted)
	}
	if resolve != nil && len(unpinned) > 0 {
		wanted = plan.Desired(set, resolve(unpinned))
	}
	for _, selection := range []*plan.Selection{since, approved} {
		if selection != nil {
			before := wanted.Edges()
			faults = wanted.Select(selection, faults)
			s.outside = before - wanted.Edges()
		}
	}
	if s.count > 0 {
		faults = wanted.Shard(s.index, s.count, faults)
	}
	return wanted, faults
}

// referrers reports whether referrers are looked for: as asked, but with a plan if it has any.
func (s *selected) referrers(asked bool) bool {
	if s.approval != nil {
		return s.approval.Referrers
	}
	return asked
}

func parseShard(s string) (index, count int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	i, n, ok := strings.Cut(s, "/")
	if ok {
		index, err = strconv.Atoi(i)
	}
	if ok && err == nil {
		count, err = strconv.Atoi(n)
	}
	if !ok || err != nil || index < 0 || index >= count {
		return 0, 0, fmt.Errorf("bad --shard %q: want I/N with 0 ≤ I < N", s)
	}
	return index, count, nil
}
