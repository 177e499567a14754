package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// baseVariable names the commit that a pull request will be merged into. Prow sets it.
const baseVariable = "PULL_BASE_SHA"

// defaultImageSize is the default of cip check --max-image-size, in MiB.
const defaultImageSize = 2048

// checkOptions are the flags of cip check.
type checkOptions struct {
	manifestOptions
	guardOptions
	registryOptions

	flags      *pflag.FlagSet
	only, skip []string
	platforms  []string
	base       string
	offline    bool
	output     string
}

func (o *checkOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	o.manifestOptions.addFlags(f)
	f.StringSliceVar(&o.only, "only", nil, "run only these `rules`")
	f.StringSliceVar(&o.skip, "skip", nil, "do not run these `rules`")
	f.StringVar(&o.base, "base", "", "git `revision`, date or duration to compare with, as in --since of run: only what is new since then is a finding, and removals are; auto: as the job's environment says (default $"+baseVariable+")")
	f.StringSliceVar(&o.platforms, "required-platforms", nil, "find images that lack one of these `platforms`, such as linux/amd64,linux/arm64")
	f.BoolVar(&o.offline, "offline", false, "send no requests to registries")
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text, json, markdown or sarif (default text)")
	o.guardOptions.addFlags(f, defaultImageSize)
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
}

func newCheckCmd(s streams) *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:         "check",
		Annotations: exits(),
		Short:       "Check manifests and the images that they would promote",
		Long: `check runs rules over the manifests and prints one finding per line:
file:line: rule: message. The exit code is 1 if there is a finding.

` + output.RuleList(check.All()) + `
valid always runs. removal runs if a base is known. exists, tags and size do not
run with --offline. signature, vulnerability and platforms run if their flags
are set, provenance if the manifests have a policy. Rules that are not run are
listed with the reason.`,
		Example: `  cip check --thin-manifest-dir=manifests/thin --offline
  cip check --thin-manifest-dir=registry.k8s.io --base=origin/main --output=markdown
  cip check --manifest=promote.yaml --vuln-severity-threshold=high --vuln-scanner="trivy image --quiet --format=json"`,
		Args: noArgs,
		RunE: o.withLog(s, o.run),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// checking is one run of cip check.
type checking struct {
	*checkOptions
	*session
	at     load.Manifests
	set    *manifest.Set
	base   *manifest.Set    // nil: no base is known
	old    *plan.Wanted     // of the base
	had    []manifest.Fault // faults of the base
	commit string           // of the base
	reader *promote.RuleReader
	advice []check.Rule // that give only notes, and do not count as run
	unread error        // the reason why the base cannot be read
	report *output.CheckReport
}

// run carries out cip check.
func (o *checkOptions) run(ctx context.Context, s *session, _ []string) error {
	c := &checking{checkOptions: o, session: s, reader: &promote.RuleReader{}, report: &output.CheckReport{}}
	format, err := output.CheckFormat(o.output)
	if err != nil {
		return err
	}
	if c.at, err = o.location(); err != nil {
		return err
	}
	err = offline(ctx, func() error {
		c.readBase(ctx)
		return c.read()
	})
	if err != nil {
		return err
	}
	if err := c.findings(ctx); err != nil {
		return err
	}
	if c.report.Manifests.Commit, err = load.Commit(o.path()); err != nil {
		c.log.Debugf("the report names no git commit: %v", err)
	}
	c.report.Manifests.Path, c.report.URI = o.path(), c.at.URIs()
	if err := output.WriteCheck(s.out, c.report, format, s.color()); err != nil {
		return err
	}
	if c.unread != nil {
		return c.unread
	}
	return failIf(check.Bad(c.report.Findings))
}

// findings runs the rules. Its error is that of a base that cannot be read, if there is one.
func (c *checking) findings(ctx context.Context) error {
	if err := c.choose(); err != nil {
		return cmp.Or(c.unread, err)
	}
	if err := c.judge(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	c.report.Base, c.report.Manifests.Digest = c.commit, c.set.Digest
	return nil
}

// read reads the manifests and compares their selectors with locks and lists.
func (c *checking) read() error {
	selectors := lookup.OpenSelectors(c.at, nil, false)
	defer selectors.Close()
	return c.take(selectors)
}

// take makes manifests those that are checked.
func (c *checking) take(selectors *lookup.Selectors) error {
	c.set = selectors.Set
	stale, err := selectors.Stale()
	c.set.Faults = append(c.set.Faults, stale...)
	return err
}

// readBase reads the manifests at the base, if any.
func (c *checking) readBase(ctx context.Context) {
	rev, name := c.checkOptions.base, "--base"
	if rev == "" && !given(c.flags, "base") {
		rev, name = c.getenv(baseVariable), baseVariable
	}
	if rev == "" {
		return
	}
	at, err := c.openRevision(ctx, c.at, name, rev)
	if err == nil {
		err = c.compareWith(at)
	}
	if err != nil {
		c.base, c.unread = nil, fmt.Errorf("reading the base that %s names: %w", name, err)
	}
}

// compareWith makes a revision the base, with its faults.
func (c *checking) compareWith(at *load.Revision) (err error) {
	c.commit = at.Commit
	if c.base, err = at.Read(); err != nil {
		return err
	}
	selectors, err := lookup.SelectorsAt(c.at, at, nil, false)
	if err != nil {
		return err
	}
	stale, err := selectors.Stale()
	c.old = plan.Desired(c.base, nil)
	if !c.base.Absent { // else the wrong directory would pass, because the base does not have it either
		c.had = slices.Concat(selectors.Set.Faults, c.old.Faults, stale)
	}
	return err
}

// choose decides which rules to run.
func (c *checking) choose() error {
	size, signature, vulnerability, err := c.rules(c.reader, c.session, c.offline)
	if err != nil {
		return err
	}
	platforms := check.Platforms{Images: c.reader, Tags: c.reader}
	if platforms.Required, err = check.ParsePlatforms(c.platforms); err != nil {
		return fmt.Errorf("bad --required-platforms: %w", err)
	}
	required := check.Candidate{Name: platforms.Describe().Name, Why: "no platform is required (set --required-platforms)"}
	if len(c.platforms) > 0 {
		required.Rule = platforms
	} else if len(c.only) == 0 && !slices.Contains(c.skip, required.Name) {
		c.advice = []check.Rule{platforms}
	}
	policies, err := c.policies()
	if err != nil {
		return err
	}
	removal := check.Candidate{Name: "removal", Why: "no base (set --base or $" + baseVariable + ")"}
	if c.base != nil || c.unread != nil {
		removal.Rule = check.Removal{Base: c.base, Rev: c.commit, Unread: c.unread}
	}
	all := []check.Candidate{
		{Name: "valid", Rule: check.Valid{Base: c.had}},
		removal,
		{Name: "exists", Rule: check.Exists{Finder: c.reader}},
		{Name: "tags", Rule: check.Tags{}},
		{Name: "size", Rule: size, Why: "no limit (set --max-image-size)"},
		{Name: "signature", Rule: signature, Why: "no key or identity (set --signature-key or --certificate-identity)"},
		{Name: "vulnerability", Rule: vulnerability, Why: "no severity (set --vuln-severity-threshold)"},
		required,
		policies,
	}
	for i := range all {
		if why := c.obstacle(all[i].Rule); why != "" {
			all[i].Rule, all[i].Why = nil, why
		}
	}
	c.report.Rules, c.report.Idle, err = check.Choose(all, c.only, c.skip)
	if err == nil && c.set.Broken() && len(c.report.Rules) == 0 {
		err = errors.New("the manifests are broken: no other rule can be run")
	}
	if err != nil && c.set.Broken() {
		c.logFaults(c.set.Faults)
	}
	return err
}

// policies returns the candidate that judges evidence by the policies, now and at the base.
func (c *checking) policies() (check.Candidate, error) {
	rule := check.Provenance{Base: c.base}
	one := check.Candidate{Name: rule.Describe().Name, Why: "no policy in the manifests"}
	if !c.set.Policies().Any() && (c.base == nil || !c.base.Policies().Any()) {
		return one, nil
	}
	var err error
	rule.Evidence, err = c.evidence(c.reader, c.session)
	one.Rule = rule
	return one, err
}

// obstacle returns why a rule cannot be run, or "".
func (c *checking) obstacle(rule check.Rule) string {
	if rule == nil {
		return ""
	}
	_, valid := rule.(check.Valid)
	_, removal := rule.(check.Removal)
	switch {
	case c.offline && rule.Describe().Reach == check.Registries:
		return "registries are not read (--offline)"
	case c.unread != nil && rule.Describe().Reach > check.Files:
		return "the base cannot be read"
	case c.set.Broken() && !valid && !(removal && c.brokenBefore()):
		return "the manifests are broken"
	}
	return ""
}

// brokenBefore reports whether the base has all faults that break the manifests. The
// rule removal then still compares the parts that are not broken.
func (c *checking) brokenBefore() bool {
	broken := slices.DeleteFunc(slices.Clone(c.set.Faults), func(f manifest.Fault) bool { return f.Severity != manifest.Broken })
	return !check.Bad(check.Valid{Base: c.had}.Judge(broken))
}

// judge reads the registries, if a rule needs them, and runs the rules.
func (c *checking) judge(ctx context.Context) error {
	if c.set.Broken() {
		return offline(ctx, func() error {
			wanted := plan.Desired(c.set, nil)
			in := check.NewInput(c.set, slices.Concat(c.set.Faults, wanted.Faults), wanted, nil)
			c.report.Findings = check.Run(ctx, c.report.Rules, in)
			return nil
		})
	}
	// With a base, only the changes since then are checked.
	job := promote.Job{
		Set: c.set, Selection: promote.Selection{Base: c.base}, Reader: c.reader, Unjudged: true,
		Progress: c.progress, Warn: c.warn,
	}
	needsPlan := func(r check.Rule) bool { return r.Describe().Reach > check.Files }
	if c.offline || !slices.ContainsFunc(c.report.Rules, needsPlan) {
		var in *check.Input
		err := offline(ctx, func() error {
			wanted, _, faults := job.Wanted(nil)
			in = check.NewInput(c.set, faults, wanted, nil)
			in.Base = c.old
			return nil
		})
		if err == nil {
			c.report.Findings = check.Run(ctx, c.report.Rules, in)
		}
		return err
	}
	var err error
	if job.Registry, err = c.settings(c.session); err != nil {
		return err
	}
	promotion, err := promote.New(job)
	if err != nil {
		return err
	}
	defer promotion.Close()
	result := promotion.Plan(ctx)
	c.report.Findings = promotion.Check(ctx, slices.Concat(c.report.Rules, c.advice), promotion.AllFaults(), c.old, result)
	check.Refuse(result, c.report.Findings)
	late := result.Warnings
	c.report.Plan = promotion.Report(result, true)
	for _, text := range late {
		c.warn(text)
	}
	c.report.Plan.Faults, c.report.Plan.Estimate = []plan.ReportFault{}, nil // the rule valid reports the faults
	return nil
}
