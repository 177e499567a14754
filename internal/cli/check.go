package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// baseVariable is where Prow says which commit a pull request is to be merged into.
const baseVariable = "PULL_BASE_SHA"

// defaultImageSize is --max-image-size of a check, in MiB.
const defaultImageSize = 2048

// checkOptions are the flags of cip check.
type checkOptions struct {
	manifestOptions
	guardOptions
	registryOptions
	logOptions

	flags      *pflag.FlagSet
	only, skip []string
	base       string
	offline    bool
	output     string
}

func (o *checkOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	o.manifestOptions.addFlags(f)
	f.StringSliceVar(&o.only, "only", nil, "run only these `rules`")
	f.StringSliceVar(&o.skip, "skip", nil, "run all but these `rules`")
	f.StringVar(&o.base, "base", "", "git `revision` to compare with: a removal is a finding, and registries are asked only about what changed since (default $"+baseVariable+")")
	f.BoolVar(&o.offline, "offline", false, "send no request to a registry")
	f.StringVarP(&o.output, "output", "o", "", "form of the findings: text, json, markdown or sarif (default text)")
	o.guardOptions.addFlags(f, defaultImageSize)
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
	o.logOptions.addFlags(f)
}

func newCheckCmd(s streams) *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:         "check",
		Annotations: exits(""),
		Short:       "Find what is wrong with manifests and with what they would promote",
		Long: `check runs rules over the manifests and prints what they find, one finding a
line: file:line: rule: message. Any finding makes the exit code 1.

  valid          a manifest is broken, or an entry of it is refused
  removal        a digest or tag that the manifests had at the base is gone
  exists         a digest is in neither source nor destination
  size           an image about to be promoted is too large
  signature      an image about to be promoted carries no signature that verifies
  vulnerability  an image about to be promoted has a fixable vulnerability

valid always runs, removal when a base is known, exists and size unless --offline,
signature and vulnerability when their flags are set. What is not run is listed.`,
		Example: `  cip check --thin-manifest-dir=manifests/thin --offline
  cip check --thin-manifest-dir=registry.k8s.io --base=origin/main --output=markdown
  cip check --manifest=promote.yaml --vuln-severity-threshold=4 --vuln-scanner="trivy image --quiet --format=json"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), o, s) },
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// checking is one run of cip check.
type checking struct {
	*checkOptions
	streams
	log      *logrus.Logger
	progress *output.Progress
	set      *manifest.Set
	base     *manifest.Set // nil: no base is known
	commit   string        // of the base
	reader   *promote.RuleReader
	unread   error // why the base cannot be read
	report   *output.CheckReport
}

// runCheck carries out cip check.
func runCheck(ctx context.Context, o *checkOptions, s streams) (err error) {
	c := &checking{checkOptions: o, streams: s, reader: &promote.RuleReader{}, report: &output.CheckReport{}}
	if c.log, c.progress, err = o.logger(s); err != nil {
		return err
	}
	format, err := output.CheckFormat(o.output)
	if err != nil {
		return err
	}
	err = offline(ctx, func() (err error) {
		var files []*selector.File
		if c.set, files, _, err = o.loadAll(); err != nil {
			return err
		}
		c.set.Faults = append(c.set.Faults, leftLocks(c.set, files)...)
		c.readBase()
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.choose(); err != nil {
		return cmp.Or(c.unread, err)
	}
	if err := c.judge(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	}
	if c.report.Manifests.Commit, err = git.Commit(o.path()); err != nil {
		c.log.Debugf("the report names no git commit: %v", err)
	}
	c.report.Manifests.Path, c.report.Manifests.Digest = o.path(), c.set.Digest
	c.report.Base, c.report.URI = c.commit, o.uris()
	if err := output.WriteCheck(s.out, c.report, format, output.Color(s.out, s.getenv)); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	if c.unread != nil {
		return c.unread
	}
	if check.Bad(c.report.Findings) {
		return &exitError{code: exitFailed}
	}
	return nil
}

// readBase loads the manifests at the base, if one is named.
func (c *checking) readBase() {
	rev, name := c.checkOptions.base, "--base"
	if rev == "" && !given(c.flags, "base") {
		rev, name = c.getenv(baseVariable), baseVariable
	}
	if rev == "" {
		return
	}
	var err error
	if c.base, c.commit, err = c.atRevision(rev); err != nil {
		c.unread = fmt.Errorf("reading the base that %s names: %w", name, err)
	}
}

// choose decides which rules to run.
func (c *checking) choose() error {
	size, err := c.size(c.reader)
	if err != nil {
		return err
	}
	signature, err := c.signature(c.reader)
	if err != nil {
		return err
	}
	vulnerability, err := c.vulnerability()
	if err != nil {
		return err
	}
	all := []check.Candidate{
		{Name: "valid", Rule: check.Valid{}},
		{Name: "removal", Why: "no base is known: --base or $" + baseVariable + " names one"},
		{Name: "exists", Rule: check.Exists{Finder: c.reader}},
		{Name: "size", Rule: size, Why: "there is no limit: --max-image-size sets one"},
		{Name: "signature", Rule: signature, Why: "no key is known: --signature-key names one"},
		{Name: "vulnerability", Rule: vulnerability, Why: "no severity is set: --vuln-severity-threshold sets one"},
	}
	if c.base != nil || c.unread != nil {
		all[1].Rule = check.Removal{Base: c.base, Rev: c.commit, Unread: c.unread}
	}
	for i := range all {
		switch {
		case c.offline && all[i].Rule != nil && all[i].Rule.Reach() == check.Registries:
			all[i].Rule, all[i].Why = nil, "registries are not asked (--offline)"
		case c.unread != nil && all[i].Rule != nil && all[i].Rule.Reach() > check.Files:
			all[i].Rule, all[i].Why = nil, "the base cannot be read"
		case c.set.Broken() && all[i].Name != "valid" && all[i].Rule != nil:
			all[i].Rule, all[i].Why = nil, "the manifests are broken"
		}
	}
	c.report.Rules, c.report.Idle, err = check.Choose(all, c.only, c.skip)
	if err == nil && c.set.Broken() && len(c.report.Rules) == 0 {
		err = errors.New("the manifests are broken: no other rule can be run")
	}
	if err != nil && c.set.Broken() {
		logFaults(c.log, c.set.Faults)
	}
	return err
}

// judge reads what the rules need and runs them.
func (c *checking) judge(ctx context.Context) error {
	if c.set.Broken() {
		c.report.Findings = check.Run(ctx, c.report.Rules, check.NewInput(c.set, c.set.Faults, &plan.Wanted{}, nil))
		return nil
	}
	beyond := func(r check.Rule) bool { return r.Reach() > check.Files }
	if c.offline || !slices.ContainsFunc(c.report.Rules, beyond) {
		var in *check.Input
		err := offline(ctx, func() error {
			job := c.job()
			wanted, _ := job.Wanted(nil)
			in = check.NewInput(c.set, c.faults(), wanted, nil)
			return nil
		})
		if err != nil {
			return err
		}
		c.report.Findings = check.Run(ctx, c.report.Rules, in)
		return nil
	}
	job := c.job()
	var err error
	if job.Registry, err = c.settings(c.streams, c.log); err != nil {
		return err
	}
	promotion, err := promote.New(job)
	if err != nil {
		return err
	}
	defer promotion.Close()
	result := promotion.Plan(ctx)
	c.report.Findings = promotion.Check(ctx, c.report.Rules, c.faults(), result)
	check.Refuse(result, c.report.Findings)
	late := result.Warnings
	c.report.Plan = promotion.Report(result, true)
	for _, text := range late {
		c.log.Warn(text)
	}
	c.report.Plan.Faults, c.report.Plan.Estimate = []plan.ReportFault{}, nil // the rule valid reports the faults
	return nil
}

// job returns the promotion that is checked: with a base, only what changed since.
func (c *checking) job() promote.Job {
	return promote.Job{
		Set: c.set, Selection: promote.Selection{Base: c.base}, Reader: c.reader,
		Progress: c.progress, Warn: func(text string) { c.log.Warn(text) },
	}
}

// faults returns all faults of the manifests, whatever the base had already.
func (c *checking) faults() []manifest.Fault {
	return slices.Concat(c.set.Faults, plan.Desired(c.set, nil).Faults)
}

// uris returns how code scanning calls the manifests' files: by their paths in the
// git repository, or below the working directory where there is none.
func (o *manifestOptions) uris() func(string) string {
	root := filepath.Dir(o.path())
	if o.manifest == "" {
		root = filepath.Clean(o.thinDir)
	}
	inside := ""
	if repo, err := git.Open(o.path()); err == nil {
		if inside, err = repo.Within(root); err != nil {
			inside = ""
		}
	}
	return func(file string) string {
		if rel, err := filepath.Rel(root, file); inside != "" && err == nil {
			return path.Join(inside, filepath.ToSlash(rel))
		}
		return strings.TrimLeft(filepath.ToSlash(file), "/")
	}
}
