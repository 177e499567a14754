package cli

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func newReportCmd(s streams) *cobra.Command {
	return newGroupCmd(&cobra.Command{
		Use:     "report",
		Short:   "Merge the reports of shards",
		Long:    "report works with reports of cip run. Nothing is sent to a registry.",
		Example: "  cip report merge 0.json 1.json 2.json 3.json",
	}, newReportMergeCmd(s))
}

// reportMergeOptions are the flags of cip report merge.
type reportMergeOptions struct {
	output   string
	detailed bool
}

func newReportMergeCmd(s streams) *cobra.Command {
	o := &reportMergeOptions{}
	cmd := &cobra.Command{
		Use:         "merge FILE…",
		Annotations: exits(changesMeaning, retryMeaning),
		Short:       "Join the reports of all shards of a run into one",
		Long: `merge reads the JSON or YAML reports of all shards of one run and prints the
report that one run without --shard would have written. The exit code is the one
that such a run would have had. Requests, bytes and estimates add up; the
duration is the longest. A missing or repeated shard is an error. So are reports
of different manifests or --since, and reports of dry runs and real runs mixed.`,
		Example: `  cip report merge shard-*.json
  cip report merge 0.json 1.json --output=json --detailed-exitcode`,
		Args: countArgs(1, math.MaxInt),
		RunE: func(cmd *cobra.Command, files []string) error {
			return offline(cmd.Context(), func() error { return o.run(s, files) })
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", outputUsage)
	f.BoolVar(&o.detailed, "detailed-exitcode", false, detailedUsage)
	return cmd
}

// run carries out cip report merge.
func (o *reportMergeOptions) run(s streams, files []string) error {
	format, err := output.ReportFormat(o.output)
	if err != nil {
		return err
	}
	parts := make([]plan.Part, len(files))
	for i, file := range files {
		report, err := output.ReadReportFile(file)
		if err != nil {
			return fmt.Errorf("reading the report %s: %w", file, err)
		}
		parts[i] = plan.Part{File: file, Report: report}
	}
	merged, err := plan.Merge(parts)
	if err != nil {
		return fmt.Errorf("merging reports: %w", err)
	}
	if err := output.WriteReport(s.out, merged, format, s.color()); err != nil {
		return err
	}
	return verdict(merged, o.detailed)
}
