package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
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

// choose reads what the options name. at loads the manifests at a revision. It
// returns the commit that --since names, and warnings.
func (o *partOptions) choose(paths []string, at func(string) (*manifest.Set, string, error), set *manifest.Set) (s promote.Selection, commit string, warnings []string, err error) {
	if s.Shard, err = promote.ParseShard(o.shard); err != nil {
		return s, "", nil, fmt.Errorf("bad --shard %q: %w", o.shard, err)
	}
	if o.plan != "" {
		if s.Approval, err = readPlan(o.plan); err != nil {
			return s, "", nil, fmt.Errorf("reading --plan %s: %w", o.plan, err)
		}
		if from := s.Approval.Origin; from.Digest != set.Digest {
			warnings = append(warnings, fmt.Sprintf("the manifests are not those that the plan was made from (%s): what they do not want is refused", manifestsName(from)))
		}
		if n := s.Approval.Refused; n > 0 {
			warnings = append(warnings, fmt.Sprintf("not tried: what was refused or could not be read when the plan was made (edges: %d)", n))
		}
		if s.Shard.Count > 0 {
			s.Approval.Shard(s.Shard.Index, s.Shard.Count)
		}
	}
	if o.since != "" {
		if s.Base, commit, err = at(o.since); err != nil {
			return s, "", nil, fmt.Errorf("reading --since %s: %w", o.since, err)
		}
		warnings = append(warnings, o.doubts(paths, s.Base)...)
	}
	return s, commit, warnings, nil
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
