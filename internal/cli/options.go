package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/logs"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const logLevelUsage = "minimum log `level`: trace, debug, info, warning or error"

// logOptions are the flags about stderr.
type logOptions struct {
	level, format     string
	noProgress, quiet bool
}

func (o *logOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.level, "log-level", "info", logLevelUsage)
	f.StringVar(&o.format, "log-format", "text", "log `format`: text or json")
	f.BoolVar(&o.noProgress, "no-progress", false, "do not show or log progress")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print only errors to stderr")
}

// withLog returns the RunE of a command that has a log.
func (o *logOptions) withLog(s streams, run func(context.Context, *session, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		session, err := o.session(s)
		if err != nil {
			return err
		}
		return run(cmd.Context(), session, args)
	}
}

// session makes the log and the progress display.
func (o *logOptions) session(s streams) (*session, error) {
	log := logrus.New()
	level, err := logrus.ParseLevel(o.level)
	if err != nil {
		return nil, fmt.Errorf("bad --log-level %q: want trace, debug, info, warning or error", o.level)
	}
	if o.quiet {
		level = min(level, logrus.ErrorLevel)
	}
	log.SetLevel(level)
	switch o.format {
	case "json":
		log.SetFormatter(logs.JSON{})
	case "text":
		log.SetFormatter(logs.Text{})
	default:
		return nil, fmt.Errorf("bad --log-format %q: want text or json", o.format)
	}
	var progress *output.Progress
	switch {
	case o.noProgress, o.quiet:
	case o.format == "text" && output.IsTerminal(s.err):
		progress = output.NewProgress(s.err)
	default:
		progress = output.NewProgressLog(func(line string) { log.Info(line) })
	}
	log.SetOutput(progress.Writer(s.err))
	return &session{s, log, progress}, nil
}

// confirmOptions are the flags for a dry or real run.
type confirmOptions struct {
	flags           *pflag.FlagSet
	dryRun, confirm bool
}

func (o *confirmOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	f.BoolVar(&o.dryRun, "dry-run", true, "print the plan and write nothing")
	f.BoolVar(&o.confirm, "confirm", false, "carry out the plan")
}

// dry reports whether the run is a dry run. The command line has already overridden the environment.
func (o *confirmOptions) dry() (bool, error) {
	dry, confirm := given(o.flags, "dry-run"), given(o.flags, "confirm")
	switch {
	case o.flags.Changed("dry-run") && o.flags.Changed("confirm"):
		return false, errors.New("--dry-run and --confirm exclude each other: give one")
	case dry && confirm && o.dryRun == o.confirm:
		return false, errors.New("CIP_DRY_RUN and CIP_CONFIRM contradict each other")
	case confirm:
		return !o.confirm, nil
	}
	return o.dryRun, nil
}

// maxQPS is the maximum of --qps, in requests per second. No host accepts as many.
const maxQPS = 1_000_000

// registryOptions are the flags of commands that send requests: about connections to
// registries, and about stderr.
type registryOptions struct {
	logOptions
	threads          int
	qps              float64
	plainHTTP        []string
	insecureTLS      []string
	caFile           string
	keyFiles         []string
	noServiceAccount bool
}

func (o *registryOptions) addFlags(f *pflag.FlagSet) {
	f.IntVar(&o.threads, "threads", 0, "maximum `number` of concurrent requests per registry host (default: starts with 10 and adapts)")
	f.Float64Var(&o.qps, "qps", 0, "maximum `number` of requests per second per registry host (0: adapt automatically)")
	f.StringSliceVar(&o.plainHTTP, "plain-http", nil, "use HTTP without TLS for these `hosts` (loopback hosts always do)")
	f.StringSliceVar(&o.insecureTLS, "insecure-skip-tls-verify", nil, "do not verify the certificates of these `hosts`")
	f.StringVar(&o.caFile, "ca-file", "", "PEM `file` of certificates to trust in addition to the system's")
	o.logOptions.addFlags(f)
}

// addAccountFlags adds the flags about service accounts, which manifests name.
func (o *registryOptions) addAccountFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.keyFiles, "key-files", nil, "Google JSON key `files` for the service accounts that manifests name")
	f.BoolVar(&o.noServiceAccount, "no-service-account", false, "ignore the service accounts that manifests name")
}

// checkNumbers validates the flags that are numbers.
func (o *registryOptions) checkNumbers() error {
	switch {
	case o.threads < 0:
		return fmt.Errorf("bad --threads %d: must not be negative", o.threads)
	case !(o.qps >= 0 && o.qps <= maxQPS): // NaN fails every comparison
		return fmt.Errorf("bad --qps %v: must not be negative, or over %d", o.qps, maxQPS)
	}
	return nil
}

// settings returns the settings of a registry client.
func (o *registryOptions) settings(s *session) (registry.Options, error) {
	if err := o.checkNumbers(); err != nil {
		return registry.Options{}, err
	}
	r := registry.Options{
		UserAgent: "cip/" + s.build.Version, Threads: o.threads, QPS: o.qps, PlainHTTP: o.plainHTTP, InsecureTLS: o.insecureTLS,
		KeyFiles: o.keyFiles, NoServiceAccount: o.noServiceAccount, Log: s.log, Files: load.OpenLimit(),
	}
	pem, err := o.roots()
	if pem != nil {
		r.RootCAs = [][]byte{pem}
	}
	return r, err
}

// roots returns the content of --ca-file, nil without the flag.
func (o *registryOptions) roots() ([]byte, error) {
	if o.caFile == "" {
		return nil, nil
	}
	pem, err := load.File(o.caFile, load.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("reading --ca-file: %w", err)
	}
	return pem, nil
}

// client returns a registry client.
func (o *registryOptions) client(s *session, sites registry.Sites) (*registry.Client, error) {
	r, err := o.settings(s)
	if err != nil {
		return nil, err
	}
	r.Sites = sites
	return registry.New(r)
}

// The usage of flags about reports.
const (
	outputUsage   = "output `format`: text (default), json, yaml, csv or markdown"
	detailedUsage = "dry run: exit with 2 if there are changes; real run: exit with 3 if only failures are left that another run may cure"
)

// promotionOptions are the flags of a promotion. A command adds flags for some of them.
type promotionOptions struct {
	registryOptions
	confirmOptions
	partOptions

	parseOnly    bool
	output       string
	report       string
	allowMissing bool
	failFast     bool
	detailed     bool
	referrers    bool
	deep         bool
}

// addFlags adds the flags that all promotions have.
func (o *promotionOptions) addFlags(f *pflag.FlagSet) {
	o.confirmOptions.addFlags(f)
	f.BoolVar(&o.parseOnly, "parse-only", false, "load and validate the files without sending requests")
	f.StringVarP(&o.output, "output", "o", "", outputUsage)
	f.StringVar(&o.report, "report", "", "also write the JSON report to this `file`")
	f.BoolVar(&o.allowMissing, "allow-missing", false, "do not fail if an image is in neither source nor destination")
	f.BoolVar(&o.failFast, "fail-fast", false, "write nothing if anything is refused or cannot be read")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, detailedUsage)
	o.registryOptions.addFlags(f)
}
