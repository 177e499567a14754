package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// engine is a system that runs a job several times and gives each run an index.
type engine struct {
	index, count string // environment variables
	first        int    // the lowest index
}

// engines are the systems that --shard=auto knows. Kubernetes sets only the index.
var engines = []engine{
	{"JOB_COMPLETION_INDEX", "CIP_SHARDS", 0},
	{"CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", 0},
	{"AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0},
	{"CI_NODE_INDEX", "CI_NODE_TOTAL", 1},
	{"BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0},
}

// chooseShard parses --shard, and replaces auto with the shard of the environment.
func (p *promotion) chooseShard() (err error) {
	if p.shard == "auto" {
		if p.shard, err = shardOf(p.getenv); err != nil {
			return fmt.Errorf("--shard=auto: %w", err)
		}
	}
	if p.job.Selection.Shard, err = plan.ParseShard(p.shard); err != nil {
		return fmt.Errorf("bad --shard %q: %w", p.shard, err)
	}
	return nil
}

// shardOf returns the shard of the environment, as I/N.
func shardOf(getenv func(string) string) (string, error) {
	found, by := "", ""
	for _, e := range engines {
		if getenv(e.index) == "" {
			continue
		}
		shard, err := e.shard(getenv)
		switch {
		case err != nil:
			return "", err
		case found != "" && found != shard:
			return "", fmt.Errorf("%s says %s, and %s says %s", by, found, e.index, shard)
		}
		found, by = shard, e.index
	}
	if found == "" {
		names := make([]string, len(engines))
		for i, e := range engines {
			names[i] = e.index
		}
		return "", errors.New("no index in the environment: want one of " + strings.Join(names, ", "))
	}
	return found, nil
}

// shard returns an engine's shard. Its index is set.
func (e engine) shard(getenv func(string) string) (string, error) {
	if getenv(e.count) == "" {
		return "", fmt.Errorf("%s is set, but not %s, the number of shards", e.index, e.count)
	}
	index, err := strconv.Atoi(getenv(e.index))
	count, countErr := strconv.Atoi(getenv(e.count))
	if err != nil || countErr != nil || index < e.first || index-e.first >= count {
		return "", fmt.Errorf("%s=%q is not an index of %s=%q shards (the first is %d)", e.index, getenv(e.index), e.count, getenv(e.count), e.first)
	}
	return fmt.Sprintf("%d/%d", index-e.first, count), nil
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
		p.log.Warn(text)
	}
	return output.WriteShards(p.out, p.job.ShardSizes(p.listShards), p.format)
}
