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

	"sigs.k8s.io/k8s-container-image-promoter/internal/logs"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
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
	attestOptions

	snapshotOf         string
	manifestSnapshotOf string
	estimateOptions
}

func (o *runOptions) addFlags(f *pflag.FlagSet) {
	o.manifestOptions.addFlags(f)
	o.promotionOptions.addFlags(f)
	f.StringVar(&o.snapshotOf, "snapshot", "", "print the contents of this `registry`, and do nothing else")
	f.StringVar(&o.manifestSnapshotOf, "manifest-based-snapshot-of", "", "print what the manifests publish in this `registry`, offline")
	o.snapshotFilter.addFlags(f)
	f.Lookup("output").Usage += "; of a snapshot: yaml (default), csv or json"
	o.partOptions.addFlags(f)
	o.estimateOptions.addFlags(f)
	f.BoolVar(&o.referrers, "referrers", false, "also promote signatures, attestations and other referrers")
	f.BoolVar(&o.deep, "deep", false, "also verify the children and blobs of images that are up to date, and repair them")
	o.guardOptions.addFlags(f, 0)
	o.attestOptions.addFlags(f)
	o.addAccountFlags(f)
}

func newRunCmd(o *runOptions, s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:         "run",
		Annotations: exits(changesMeaning, retryMeaning),
		Short:       "Promote the images that the destinations lack",
		Long: `run reads the destinations, looks up in the source what they lack, and prints
the plan. By default it writes nothing (dry run). With --confirm it carries out
the plan: blobs first, then manifests, tags last. If something is refused (a bad
entry, a tag that may not move, a missing image), the rest is still promoted and
the exit code is 1.

--since, --plan and --shard promote a part of the manifests. Faults outside of
this part are warnings.`,
		Example: `  cip run --thin-manifest-dir=manifests/demo
  cip run --manifest=promote.yaml --confirm --report=report.json
  cip run --thin-manifest-dir=. --since=origin/main --report=plan.json
  cip run --thin-manifest-dir=. --plan=plan.json --confirm`,
		Args: noArgs,
		RunE: o.withLog(s, o.run),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// runSnapshot prints a snapshot of a registry or the manifests.
func (o *runOptions) runSnapshot(ctx context.Context, s *session) error {
	switch {
	case o.snapshotOf != "" && o.manifestSnapshotOf != "":
		return errors.New("--snapshot and --manifest-based-snapshot-of exclude each other")
	case o.manifestSnapshotOf != "":
		return offline(ctx, func() error { return o.manifestSnapshot(s) })
	}
	return (&snapshotOptions{o.snapshotFilter, o.registryOptions, o.output}).take(ctx, s, o.snapshotOf)
}

// promotion is one run of cip run or cip retag.
type promotion struct {
	*promotionOptions
	*session
	job      promote.Job
	paths    []string // as the user wrote them
	load     func() (*manifest.Set, error)
	at       load.Manifests // for --since and evidence, which need one
	format   output.Format
	warnings *warnings
	isDry    bool
	origin   plan.Origin

	attestation *attestation // nil: no evidence is written
}

// run carries out cip run.
func (o *runOptions) run(ctx context.Context, s *session, _ []string) error {
	if o.snapshotOf != "" || o.manifestSnapshotOf != "" {
		return o.runSnapshot(ctx, s)
	}
	if o.flags.Changed("snapshot-tag") || o.flags.Changed("minimal-snapshot") {
		return errors.New("--snapshot-tag and --minimal-snapshot do not limit a promotion: they need --snapshot or --manifest-based-snapshot-of")
	}
	p := &promotion{
		promotionOptions: &o.promotionOptions, session: s, paths: []string{o.path()}, load: o.load, at: o.named(),
	}
	var err error
	if p.job.Estimate, err = o.estimateOptions.estimate(o); err != nil {
		return err
	}
	if err := o.attestOptions.check(); err != nil {
		return err
	}
	p.job.Reader = &promote.RuleReader{}
	size, signature, vulnerability, err := o.rules(p.job.Reader, s, false)
	if err != nil {
		return err
	}
	sources, err := o.evidence(p.job.Reader, s)
	if err != nil {
		return err
	}
	p.job.Evidence = sources
	p.attestation = &attestation{runOptions: o, sources: sources}
	p.job.Rules = slices.DeleteFunc([]check.Rule{size, signature, vulnerability}, func(r check.Rule) bool { return r == nil })
	if o.ifPresent {
		signers, err := o.signers()
		if err != nil {
			return err
		}
		p.job.Rules = append(p.job.Rules, check.PresentProvenance{Read: sources, Signers: signers})
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
		return offline(ctx, func() error {
			faults := slices.Concat(set.Faults, plan.Desired(set, nil).Faults) // overlaps in what could be read
			manifest.SortFaults(faults)
			p.logFaults(faults)
			return p.parsed(faults)
		})
	}
	if err := offline(ctx, func() error { return p.choose(ctx) }); err != nil {
		return err
	}
	if p.listShards != 0 {
		return offline(ctx, p.printShards)
	}
	if p.parseOnly {
		return offline(ctx, func() error {
			for _, text := range p.job.Warnings {
				p.warn(text)
			}
			wanted, faults, all := p.job.Wanted(nil)
			faults = slices.Concat(faults, wanted.Faults)
			manifest.SortFaults(faults)
			p.logSelected(promote.OfSelection(faults, all))
			p.log.Info(p.found(wanted, faults))
			return p.parsed(faults)
		})
	}
	var err error
	if p.job.Registry, err = p.settings(p.session); err != nil {
		return err
	}
	if err := p.prepareEvidence(ctx); err != nil {
		return err
	}
	p.job.Registry.QPS = p.job.Selection.Shard.Quota(p.job.Registry.QPS)
	return p.promote(ctx)
}

// check validates the flags and loads the manifests.
func (p *promotion) check() (err error) {
	p.warnings = &warnings{log: p.log}
	if p.format, err = output.ReportFormat(p.output); err != nil {
		return err
	}
	if p.isDry, err = p.dry(); err != nil {
		return err
	}
	if err := p.checkNumbers(); err != nil {
		return err
	}
	if err := p.chooseShard(); err != nil {
		return err
	}
	if p.listShards < 0 || p.listShards == 0 && p.flags.Changed("list-shards") {
		return fmt.Errorf("bad --list-shards %d: must be positive", p.listShards)
	}
	if err := load.CheckWritable(p.report); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	set, err := p.load()
	if err != nil {
		return err
	}
	p.origin = plan.Origin{Path: strings.Join(p.paths, ","), Digest: set.Digest, Since: p.since, Shard: p.shard}
	if p.origin.Commit, err = load.Commit(p.paths...); err != nil {
		p.log.Debugf("the report names no git commit: %v", err)
	}
	if err := checkEmpty(p.job.Estimate, set); err != nil {
		return err
	}
	p.job.Set, p.job.Referrers, p.job.Deep = set, p.referrers, p.deep
	p.job.AllowMissing, p.job.FailFast = p.allowMissing, p.failFast
	p.job.Progress, p.job.Warn = p.progress, p.warnings.warn
	p.job.Faults = p.logSelected
	p.job.Note = func(f check.Finding) {
		level := logrus.InfoLevel
		if f.Level > check.Note {
			level = logrus.WarnLevel
		}
		p.log.Logf(level, "%s: %s: %s", f.Pos, f.Rule, f.Message)
	}
	return nil
}

// found says what the manifests hold. A digest without tags counts as a tag.
func (p *promotion) found(wanted *plan.Wanted, faults []manifest.Fault) string {
	images, errs := 0, 0
	for _, m := range p.job.Set.Manifests {
		names := map[string]struct{}{}
		for _, img := range m.Images {
			names[img.Name] = struct{}{}
		}
		images += len(names)
	}
	for _, f := range output.Faults(faults) {
		if f.Severity > manifest.Warning {
			errs++
		}
	}
	problems := "no errors"
	if errs > 0 {
		problems = output.Plural(errs, "error")
	}
	selected := ""
	if p.job.Selection != (promote.Selection{}) {
		selected = " selected"
	}
	return fmt.Sprintf("%s: %s, %s%s, %s", strings.Join(p.paths, ","), output.Plural(images, "image"), output.Plural(wanted.Edges(), "tag"), selected,
		problems)
}

// parsed ends a run that sends no request, because a file is broken or --parse-only
// is set. Formats for programs get a report with the faults.
func (p *promotion) parsed(faults []manifest.Fault) error {
	result := &plan.Plan{Faults: faults, Warnings: p.job.Warnings}
	report := result.Report(p.isDry, &plan.Wanted{})
	report.Manifests = p.origin
	err := p.save(report)
	if p.format != output.Text {
		err = errors.Join(err, output.WriteReport(p.out, report, p.format, p.color()))
	}
	if err != nil {
		return err
	}
	return failIf(result.Refused(false))
}

// promote plans, carries out the plan unless it is a dry run, and reports.
func (p *promotion) promote(ctx context.Context) error {
	promotion, err := promote.New(p.job)
	if err != nil {
		return err
	}
	defer promotion.Close()
	p.progress.SetHosts(func() (hosts []output.HostProgress) {
		for _, h := range promotion.Hosts() {
			hosts = append(hosts, output.HostProgress(h))
		}
		return hosts
	})
	result := promotion.Plan(ctx)
	if n := promotion.Outside(); p.job.Selection.Approval != nil && n > 0 {
		p.log.Infof("left alone: what the manifests want and the plan does not have (tags: %d)", n)
	}
	p.carryOut(ctx, promotion, result)
	late := result.Warnings
	report := promotion.Report(result, p.isDry)
	report.Manifests, report.AllowMissing, report.Interrupted = p.origin, p.allowMissing, ctx.Err() != nil
	err = p.save(report) // before anything else is logged: stderr may be closed
	for _, text := range late {
		p.warnings.warn(text)
	}
	p.warnings.end()
	if p.format != output.Text || !sameStream(p.out, p.streams.err) {
		p.complainOf(report)
	}
	if err = errors.Join(err, output.WriteReport(p.out, report, p.format, p.color())); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return verdict(report, p.detailed)
}

// logSelected logs the faults of the selection, and how many there are elsewhere.
func (p *promotion) logSelected(faults []manifest.Fault, elsewhere int) {
	p.logFaults(faults)
	if elsewhere > 0 {
		older := ""
		if p.since != "" {
			older = "older "
		}
		p.log.Warnf("%d %sfaults elsewhere in %s (cip check lists them)", elsewhere, older, strings.Join(p.paths, ","))
	}
}

// complainOf logs why items were refused or have failed, once for each reason. A text
// report on the same terminal says it, too.
func (p *promotion) complainOf(r *plan.Report) {
	for _, problem := range output.Problems(r) {
		level, entry := logrus.ErrorLevel, logrus.NewEntry(p.log)
		if problem.Action == plan.Missing.String() {
			level = logrus.WarnLevel
		}
		if len(problem.Examples) > 0 {
			entry = p.log.WithFields(logrus.Fields{
				logs.Examples: problem.Examples, "tags": problem.Tags, "repositories": problem.Repositories,
			})
		}
		entry.Log(level, problem.Text)
	}
}

// save writes the report to the file of --report, if there is one.
func (p *promotion) save(r *plan.Report) error {
	if p.report == "" {
		return nil
	}
	err := load.WriteFile(p.report, func(w io.Writer) error { return output.WriteReport(w, r, output.JSON, false) })
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// verdict returns a report's exit code. detailed is --detailed-exitcode.
func verdict(r *plan.Report, detailed bool) error {
	switch v := r.Verdict(); {
	case v == plan.Interrupted:
		return errInterrupted
	case v == plan.Retry && detailed:
		return &exitError{code: exitRetry}
	case v == plan.Changes && detailed:
		return &exitError{code: exitChanges}
	case v == plan.Succeeded, v == plan.Changes:
		return nil
	}
	return &exitError{code: exitFailed}
}
