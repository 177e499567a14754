package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// partOptions are the flags for a part of the edges.
type partOptions struct {
	since      string
	shard      string
	listShards int
	plan       string
}

func (o *partOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.since, "since", "", "promote only what changed in the manifests since this git `revision`, date (2026-11-01) or duration (14d); auto: as the job's environment says")
	f.StringVar(&o.shard, "shard", "", "promote only part `I/N`, one of N disjoint parts (0 ≤ I < N); auto: as the job's environment says")
	f.IntVar(&o.listShards, "list-shards", 0, "print the sizes of `N` parts, offline, and do nothing else")
	f.StringVar(&o.plan, "plan", "", "apply only the plan in this `file`, the JSON report of a dry run, and refuse tags that moved since")
}

// choose reads the rest of the selection, and sets it in the job with its warnings.
func (p *promotion) choose(ctx context.Context) error {
	s := &p.job.Selection
	var err error
	if p.plan != "" {
		if s.Approval, err = output.ReadPlan(p.plan); err != nil {
			return fmt.Errorf("reading --plan %s: %w", p.plan, err)
		}
		p.job.Warnings = s.ApprovalWarnings(p.job.Set)
	}
	if p.since == "" {
		return nil
	}
	r, err := p.openRevision(ctx, p.at, "--since", p.since)
	if err == nil {
		p.origin.Base = r.Commit
		s.Base, err = r.Read()
	}
	if err != nil {
		return fmt.Errorf("reading --since %s: %w", p.since, err)
	}
	for _, text := range s.BaseWarnings(strings.Join(p.paths, ",")) {
		p.job.Warnings = append(p.job.Warnings, fmt.Sprintf("--since %s: %s", p.since, text))
	}
	return nil
}

// chooseShard parses --shard, and replaces auto with the shard of the environment.
func (p *promotion) chooseShard() (err error) {
	if p.shard == "auto" {
		if p.shard, err = plan.ShardOf(p.getenv); err != nil {
			return fmt.Errorf("--shard=auto: %w", err)
		}
	}
	if p.job.Selection.Shard, err = plan.ParseShard(p.shard); err != nil {
		return fmt.Errorf("bad --shard %q: %w", p.shard, err)
	}
	return nil
}

// printShards prints the sizes of the shards of --list-shards.
func (p *promotion) printShards() error {
	if p.format != output.Text && p.format != output.JSON {
		return fmt.Errorf("--list-shards prints text or json, not %s", p.output)
	}
	if p.shard != "" {
		return errors.New("--list-shards and --shard exclude each other")
	}
	for _, text := range p.job.Warnings {
		p.warn(text)
	}
	return output.WriteShards(p.out, p.job.ShardSizes(p.listShards), p.format)
}
