package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// runOptions are the flags of cip run.
type runOptions struct {
	manifestOptions
	promotionOptions
	snapshotFilter
	guardOptions

	snapshotOf         string
	manifestSnapshotOf string
}

func (o *runOptions) addFlags(f *pflag.FlagSet) {
	o.manifestOptions.addFlags(f)
	o.promotionOptions.addFlags(f)
	f.StringVar(&o.snapshotOf, "snapshot", "", "print what this `registry` holds, and do nothing else")
	f.StringVar(&o.manifestSnapshotOf, "manifest-based-snapshot-of", "", "print what the manifests put into this `registry`, offline")
	o.snapshotFilter.addFlags(f)
	f.Lookup("output").Usage += "; of a snapshot: yaml (default), csv or json"
	o.partOptions.addFlags(f)
	f.BoolVar(&o.referrers, "referrers", false, "promote signatures, attestations and other referrers with each digest")
	f.BoolVar(&o.deep, "deep", false, "also look for every child and blob of what is up to date, and copy again what is lost")
	o.guardOptions.addFlags(f, 0)
	o.addAccountFlags(f)
}

func newRunCmd(s streams) *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use:         "run",
		Annotations: exits(changesMeaning),
		Short:       "Promote what the manifests want and the destinations lack",
		Long: `run reads the destinations, asks the source about what they lack, and shows the
difference. Dry run is the default: nothing is written. With --confirm the
difference is carried out: blobs first, then manifests, tags last. What is refused
(a bad entry, a tag that may not move, a missing image) stops only itself; the
rest is done, and the exit code is 1.

--since, --plan and --shard do a part of what the manifests want; what is wrong
elsewhere is then a warning.`,
		Example: `  cip run --thin-manifest-dir=manifests/demo
  cip run --manifest=promote.yaml --confirm --report=report.json
  cip run --thin-manifest-dir=. --since=origin/main --report=plan.json
  cip run --thin-manifest-dir=. --plan=plan.json --confirm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRun(cmd.Context(), o, s) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// runSnapshot prints one of the two snapshots.
func (o *runOptions) runSnapshot(ctx context.Context, s streams) error {
	log, progress, err := o.logger(s)
	switch {
	case err != nil:
		return err
	case o.snapshotOf != "" && o.manifestSnapshotOf != "":
		return errors.New("--snapshot and --manifest-based-snapshot-of exclude each other")
	case o.manifestSnapshotOf != "":
		return offline(ctx, func() error { return o.manifestSnapshot(s, log) })
	}
	return takeSnapshot(ctx, snapshotJob{o.snapshotOf, o.output, &o.snapshotFilter, &o.registryOptions}, s, log, progress)
}

// promotion is one run of cip run, or of a command that promotes what other files want.
type promotion struct {
	*promotionOptions
	streams
	job      promote.Job
	paths    []string // the files that were named
	load     func() (*manifest.Set, error)
	at       func(rev string) (*manifest.Set, string, error) // loads what a git revision has; nil: there is no --since
	format   output.Format
	log      *logrus.Logger
	progress *output.Progress
	isDry    bool
	origin   plan.Origin
}

// runRun carries out cip run.
func runRun(ctx context.Context, o *runOptions, s streams) error {
	if o.snapshotOf != "" || o.manifestSnapshotOf != "" {
		return o.runSnapshot(ctx, s)
	}
	p := &promotion{promotionOptions: &o.promotionOptions, streams: s, paths: []string{o.path()}, load: o.load, at: o.atRevision}
	p.job.Reader = &promote.RuleReader{}
	var err error
	if p.job.Rules, err = o.rules(p.job.Reader); err != nil {
		return err
	}
	return p.start(ctx)
}

// start carries out a promotion.
func (p *promotion) start(ctx context.Context) error {
	if err := offline(ctx, p.check); err != nil {
		return err
	}
	set := p.job.Set
	if set.Broken() {
		logFaults(p.log, set.Faults)
		return p.parsed(set.Faults)
	}
	var warnings []string
	err := offline(ctx, func() (err error) {
		p.job.Selection, p.origin.Base, warnings, err = p.choose(p.paths, p.at, set)
		return err
	})
	if err != nil {
		return err
	}
	p.job.Warnings = warnings
	if p.parseOnly {
		return offline(ctx, func() error {
			for _, text := range warnings {
				p.log.Warn(text)
			}
			wanted, faults := p.job.Wanted(nil)
			faults = append(faults, wanted.Faults...)
			logFaults(p.log, faults)
			return p.parsed(faults)
		})
	}
	if p.job.Registry, err = p.settings(p.streams, p.log); err != nil {
		return err
	}
	return p.promote(ctx)
}

// check validates the flags and loads the manifests.
func (p *promotion) check() (err error) {
	if p.log, p.progress, err = p.logger(p.streams); err != nil {
		return err
	}
	if p.format, err = output.ReportFormat(p.output); err != nil {
		return err
	}
	if p.isDry, err = p.dry(); err != nil {
		return err
	}
	if _, err := promote.ParseShard(p.shard); err != nil {
		return fmt.Errorf("bad --shard %q: %w", p.shard, err)
	}
	if err := checkFile(p.report); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	set, err := p.load()
	if err != nil {
		return err
	}
	p.origin = plan.Origin{Path: strings.Join(p.paths, ","), Digest: set.Digest, Since: p.since, Shard: p.shard}
	if p.origin.Commit, err = commitOf(p.paths); err != nil {
		p.log.Debugf("the report names no git commit: %v", err)
	}
	p.job.Set, p.job.Referrers, p.job.Deep = set, p.referrers, p.deep
	p.job.AllowMissing, p.job.FailFast = p.allowMissing, p.failFast
	p.job.Progress, p.job.Warn = p.progress, func(text string) { p.log.Warn(text) }
	p.job.Fault = func(f manifest.Fault) { logFaults(p.log, []manifest.Fault{f}) }
	p.job.Note = func(f check.Finding) { p.log.Infof("%s: %s: %s", f.Pos, f.Rule, f.Message) }
	return nil
}

// parsed ends a run that sends no request: a file is broken, or --parse-only is
// set. Programs that read the report get one with the faults.
func (p *promotion) parsed(faults []manifest.Fault) error {
	result := &plan.Plan{Faults: faults, Warnings: p.job.Warnings}
	report := result.Report(p.isDry)
	report.Manifests = p.origin
	err := p.save(report)
	if p.format != output.Text {
		err = errors.Join(err, p.show(report))
	}
	if err != nil {
		return err
	}
	if result.Refused(false) {
		return &exitError{code: exitFailed}
	}
	return nil
}

// promote plans, carries out the plan unless it is a dry run, and reports.
func (p *promotion) promote(ctx context.Context) error {
	promotion, err := promote.New(p.job)
	if err != nil {
		return err
	}
	defer promotion.Close()
	result := promotion.Plan(ctx)
	if n := promotion.Outside(); p.job.Selection.Approval != nil && n > 0 {
		p.log.Infof("wanted, but not in the plan, and left alone (edges: %d)", n)
	}
	if !p.isDry {
		promotion.Run(ctx, result)
	}
	late := result.Warnings
	report := promotion.Report(result, p.isDry)
	report.Manifests = p.origin
	err = p.save(report) // before anything else is logged: stderr may be closed
	for _, text := range late {
		p.log.Warn(text)
	}
	p.logItems(result.Items, result.Faults)
	if err = errors.Join(err, p.show(report)); err != nil {
		return err
	}
	return p.verdict(ctx, result)
}

// logItems logs what is refused or could not be read. What a fault says is not repeated for each destination.
func (p *promotion) logItems(items []plan.Item, faults []manifest.Fault) {
	logged := map[string]struct{}{}
	for _, f := range faults {
		logged[f.String()], logged[f.Message] = struct{}{}, struct{}{}
	}
	for i := range items {
		it := &items[i]
		if it.Status != plan.Refused && it.Status != plan.Failed {
			continue
		}
		if _, ok := logged[it.Error]; ok && it.Action == plan.Invalid {
			continue
		}
		where := it.Destination.Digest(image.DigestString(it.Digest)).String()
		if len(it.Tags) > 0 {
			where = it.Destination.Tag(strings.Join(it.Tags, ",")).String()
		}
		level := logrus.ErrorLevel
		if it.Action == plan.Missing && (p.allowMissing || !p.quiet) {
			level = logrus.WarnLevel
		}
		p.log.Logf(level, "%s %s: %s", it.Action, where, it.Error)
	}
}

// save writes the report to the file that was named for it, if any.
func (p *promotion) save(r *plan.Report) error {
	if p.report == "" {
		return nil
	}
	err := writeFile(p.report, func(w io.Writer) error { return output.WriteReport(w, r, output.JSON, false) })
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// show writes the report to stdout.
func (p *promotion) show(r *plan.Report) error {
	if err := output.WriteReport(p.out, r, p.format, output.Color(p.out, p.getenv)); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	return nil
}

// verdict returns the exit code.
func (p *promotion) verdict(ctx context.Context, result *plan.Plan) error {
	skipped := slices.ContainsFunc(result.Items, func(it plan.Item) bool { return it.Status == plan.Skipped })
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	case result.Refused(p.allowMissing), skipped:
		return &exitError{code: exitFailed}
	case p.isDry && p.detailed && result.Changes():
		return &exitError{code: exitChanges}
	}
	return nil
}
