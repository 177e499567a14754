package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cip/pkg/check"
	"cip/pkg/image"
	"cip/pkg/manifest"
	"cip/pkg/output"
	"cip/pkg/plan"
	"cip/pkg/promote"
	"cip/pkg/registry"
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
		Use:   "run",
		Short: "Promote what the manifests want and the destinations lack",
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

// promotion is one run of cip run, or of a command that does the same with other files.
type promotion struct {
	*promotionOptions
	streams
	paths    []string // what was named to load
	load     func() (*manifest.Set, error)
	at       func(rev string) (*manifest.Set, string, error) // loads what a git revision has; nil: there is no --since
	ifExists func(image.Repository) plan.IfExists            // nil: tags that exist in place do not move
	format   output.Format
	log      *logrus.Logger
	progress *output.Progress
	isDry    bool
	began    time.Time
	set      *manifest.Set
	part     selected
	commit   string // of the manifests, if they are in a git repository
	client   *registry.Client
	sources  *promote.Sources
	evidence evidence
	rules    []check.Rule // that what is about to be promoted has to pass

	mu       sync.Mutex
	warnings []string
}

// runRun carries out cip run.
func runRun(ctx context.Context, o *runOptions, s streams) error {
	if o.snapshotOf != "" || o.manifestSnapshotOf != "" {
		return o.runSnapshot(ctx, s)
	}
	p := &promotion{promotionOptions: &o.promotionOptions, streams: s, paths: []string{o.path()}, load: o.load, at: o.atRevision}
	var err error
	if p.rules, err = o.rules(&p.evidence); err != nil {
		return err
	}
	return p.start(ctx)
}

// start carries out a promotion.
func (p *promotion) start(ctx context.Context) error {
	p.began = time.Now()
	if err := offline(ctx, p.check); err != nil {
		return err
	}
	if p.set.Broken() {
		tell(p.log, p.set.Faults)
		return p.parsed(p.set.Faults)
	}
	err := offline(ctx, func() (err error) {
		p.part, err = p.choose(p.paths, p.at, p.set, p.warn)
		return err
	})
	if err != nil {
		return err
	}
	if p.parseOnly {
		return offline(ctx, func() error {
			_, faults := p.wanted(nil)
			return p.parsed(faults)
		})
	}
	sites := plan.SitesOf(p.set)
	p.warn(sites.Warnings...)
	client, err := p.registryOptions.client(sites, p.log)
	if err != nil {
		return err
	}
	defer client.Close()
	p.client = client
	p.sources = promote.NewSources(client, func(text string) { p.warn(text) })
	defer p.sources.Close()
	return p.run(ctx)
}

// wanted returns the part of what the manifests want that the run is about, and
// all faults, which it tells. Without resolve it is offline.
func (p *promotion) wanted(resolve func([]plan.SourceTag) map[plan.SourceTag]plan.Resolution) (*plan.Wanted, []manifest.Fault) {
	wanted, faults := p.part.of(p.set, resolve)
	tell(p.log, faults)
	tell(p.log, wanted.Faults)
	return wanted, append(faults, wanted.Faults...)
}

// parsed ends a run that sends no request: a file is broken, or no more was asked
// for. Programs that read the report get one, with the faults.
func (p *promotion) parsed(faults []manifest.Fault) error {
	result := &plan.Plan{Faults: faults, Warnings: p.warnings}
	report := p.reportOf(result, nil)
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
	if _, _, err := parseShard(p.shard); err != nil {
		return err
	}
	if err := checkFile(p.report); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	if p.set, err = p.load(); err != nil {
		return err
	}
	if p.commit, err = commitOf(p.paths); err != nil {
		p.log.Debugf("the report names no git commit: %v", err)
	}
	return nil
}

// warn tells warnings and keeps them for the report. It is safe for concurrent use.
func (p *promotion) warn(texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range texts {
		p.log.Warn(t)
		p.warnings = append(p.warnings, t)
	}
}

// tellItems logs what is refused or could not be read, so that it is not only in the report.
// What a fault has told is not told again for each destination.
func (p *promotion) tellItems(items []plan.Item, faults []manifest.Fault) {
	told := map[string]struct{}{}
	for _, f := range faults {
		told[f.String()], told[f.Message] = struct{}{}, struct{}{}
	}
	for i := range items {
		it := &items[i]
		if it.Status != plan.Refused && it.Status != plan.Failed {
			continue
		}
		if _, ok := told[it.Error]; ok && it.Action == plan.Invalid {
			continue
		}
		where := it.Destination.Digest(it.Digest)
		if len(it.Tags) > 0 {
			where = it.Destination.Tag(strings.Join(it.Tags, ","))
		}
		level := logrus.ErrorLevel
		if it.Action == plan.Missing && (p.allowMissing || !p.quiet) {
			level = logrus.WarnLevel
		}
		p.log.Logf(level, "%s %s: %s", it.Action, where, it.Error)
	}
}

// run plans, carries out unless it is a dry run, and reports.
func (p *promotion) run(ctx context.Context) error {
	wanted, faults := p.wanted(func(tags []plan.SourceTag) map[plan.SourceTag]plan.Resolution {
		return promote.ResolveTags(ctx, p.sources, tags)
	})
	if p.ifExists != nil {
		wanted.SetIfExists(p.ifExists)
	}
	p.progress.Start("reading repositories", len(wanted.Targets))
	result := promote.Survey(ctx, p.client, p.sources, wanted, p.progress.Step)
	p.progress.Finish()
	if p.deep {
		p.progress.Start("looking into repositories", len(wanted.Targets))
		promote.SurveyDeep(ctx, p.client, p.sources, wanted, result, p.progress.Step)
		p.progress.Finish()
	}
	if p.part.referrers(p.referrers) {
		p.progress.Start("reading referrers", len(wanted.Targets))
		promote.SurveyReferrers(ctx, p.client, p.sources, wanted, result, p.progress.Step)
		p.progress.Finish()
	}
	if approval := p.part.approval; approval != nil {
		if n := p.part.outside; n > 0 {
			p.log.Infof("wanted, but not in the plan, and left alone (edges: %d)", n)
		}
		approval.Hold(result, wanted)
	}
	p.guard(ctx, wanted, result)
	result.Faults = append(result.Faults, faults...)
	var estimate map[string]plan.Estimate
	switch {
	case p.isDry:
		estimate = p.estimate(result)
	case ctx.Err() != nil:
		promote.Skip(result, "interrupted")
	case p.failFast && result.Refused(p.allowMissing):
		promote.Skip(result, "not tried: something is refused (--fail-fast)")
	default:
		p.progress.Start("promoting", promote.Units(result))
		promote.Run(ctx, p.client, p.sources, result, p.progress.Step)
		p.progress.Finish()
	}
	late := result.Warnings
	p.warnings = append(p.warnings, late...)
	result.Warnings = p.warnings
	result.Sort()
	report := p.reportOf(result, estimate)
	err := p.save(report) // first: nobody may be reading stderr any more
	for _, text := range late {
		p.log.Warn(text)
	}
	p.tellItems(result.Items, result.Faults)
	if err = errors.Join(err, p.show(report)); err != nil {
		return err
	}
	return p.verdict(ctx, result)
}

// estimate returns what a real run would ask of each host: what has been read, and the writes.
func (p *promotion) estimate(result *plan.Plan) map[string]plan.Estimate {
	all := result.EstimateWrites(func(d image.Digest) plan.Weight {
		content := p.sources.Content(string(d))
		if content == nil {
			return plan.Weight{}
		}
		w := plan.Weight{Children: len(content.Children)}
		for _, b := range content.Blobs {
			w.Blobs = append(w.Blobs, plan.BlobWeight{Digest: b.Digest, Size: b.Size})
		}
		return w
	})
	for host, n := range p.client.Requests() {
		e := all[host]
		e.Requests += n
		all[host] = e
	}
	return all
}

// reportOf returns the report of what was planned or done.
func (p *promotion) reportOf(result *plan.Plan, estimate map[string]plan.Estimate) *plan.Report {
	r := result.Report(p.isDry)
	r.Estimate = estimate
	if p.client != nil {
		r.Requests, r.Bytes = p.client.Requests(), p.client.BytesCopied()
	}
	r.Seconds = time.Since(p.began).Seconds()
	r.Manifests = plan.Origin{
		Path: strings.Join(p.paths, ","), Digest: p.set.Digest, Commit: p.commit, Since: p.since, Base: p.part.commit, Shard: p.shard,
	}
	return r
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
	skipped := false
	for i := range result.Items {
		skipped = skipped || result.Items[i].Status == plan.Skipped
	}
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
