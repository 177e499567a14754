package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// partOptions are the flags that select a part of the wanted edges.
type partOptions struct {
	since string
	shard string
	plan  string
}

func (o *partOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.since, "since", "", "promote only what changed in the manifests since this git `revision`")
	f.StringVar(&o.shard, "shard", "", "promote only part `I/N`, one of N disjoint parts (0 ≤ I < N)")
	f.StringVar(&o.plan, "plan", "", "apply only the plan in this `file`, the JSON report of a dry run, and refuse tags that moved since")
}

// choose reads the selection. at reads the manifests in a revision. choose also
// returns the commit of --since, and warnings.
func (o *partOptions) choose(paths []string, at func(string) (*manifest.Set, string, error), set *manifest.Set) (s promote.Selection, commit string, warnings []string, err error) {
	if s.Shard, err = promote.ParseShard(o.shard); err != nil {
		return s, "", nil, fmt.Errorf("bad --shard %q: %w", o.shard, err)
	}
	if o.plan != "" {
		if s.Approval, err = output.ReadPlan(o.plan); err != nil {
			return s, "", nil, fmt.Errorf("reading --plan %s: %w", o.plan, err)
		}
		warnings = s.ApprovalWarnings(set)
		if s.Shard.Count > 0 {
			s.Approval.Shard(s.Shard.Index, s.Shard.Count)
		}
	}
	if o.since != "" {
		if s.Base, commit, err = at(o.since); err != nil {
			return s, "", nil, fmt.Errorf("reading --since %s: %w", o.since, err)
		}
		for _, text := range s.BaseWarnings(strings.Join(paths, ",")) {
			warnings = append(warnings, fmt.Sprintf("--since %s: %s", o.since, text))
		}
	}
	return s, commit, warnings, nil
}
