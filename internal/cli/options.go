package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// logOptions say what goes to stderr.
type logOptions struct {
	level, format     string
	noProgress, quiet bool
}

func (o *logOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.level, "log-level", "info", "least level of log lines: trace, debug, info, warning, error")
	f.StringVar(&o.format, "log-format", "text", "form of log lines: text or json")
	f.BoolVar(&o.noProgress, "no-progress", false, "show no progress on a terminal")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing on stderr but what went wrong")
}

// logger returns the log and the progress display.
func (o *logOptions) logger(s streams) (*logrus.Logger, *output.Progress, error) {
	log := logrus.New()
	level, err := logrus.ParseLevel(o.level)
	if err != nil {
		return nil, nil, fmt.Errorf("bad --log-level %q: want trace, debug, info, warning or error", o.level)
	}
	if o.quiet {
		level = min(level, logrus.ErrorLevel)
	}
	log.SetLevel(level)
	switch o.format {
	case "json":
		log.SetFormatter(&jsonFormatter{})
	case "text":
		log.SetFormatter(&lineFormatter{})
	default:
		return nil, nil, fmt.Errorf("bad --log-format %q: want text or json", o.format)
	}
	progress := output.NewProgress(s.err, !o.noProgress && !o.quiet && o.format == "text")
	log.SetOutput(progress.Writer(s.err))
	return log, progress, nil
}

// lineFormatter prints log lines as plain text: faults and warnings are for people
// and for tools that look for file:line:column at the beginning of a line.
type lineFormatter struct{}

// Format returns "level: message", or the message alone at level info.
func (*lineFormatter) Format(e *logrus.Entry) ([]byte, error) {
	line := output.Escape(e.Message)
	if e.Level != logrus.InfoLevel && e.Data["place"] == nil {
		line = e.Level.String() + ": " + line
	}
	return []byte(line + "\n"), nil
}

// jsonFormatter prints log lines as JSON.
type jsonFormatter struct{ logrus.JSONFormatter }

// Format returns a line in which nothing is invisible or looks like a command to a CI system.
func (f *jsonFormatter) Format(e *logrus.Entry) ([]byte, error) {
	line, err := f.JSONFormatter.Format(e)
	return output.EscapeJSON(line), err
}

// confirmOptions decide between dry run and real run.
type confirmOptions struct {
	flags           *pflag.FlagSet
	dryRun, confirm bool
}

func (o *confirmOptions) addFlags(f *pflag.FlagSet) {
	o.flags = f
	f.BoolVar(&o.dryRun, "dry-run", true, "show what would be done and write nothing")
	f.BoolVar(&o.confirm, "confirm", false, "carry it out")
}

// dry decides between dry run and real run. What is on the command line has beaten the environment by now.
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

// registryOptions say how registries are spoken to.
type registryOptions struct {
	threads          int
	qps              float64
	plainHTTP        []string
	insecureTLS      []string
	caFile           string
	keyFiles         []string
	noServiceAccount bool
}

func (o *registryOptions) addFlags(f *pflag.FlagSet) {
	f.IntVar(&o.threads, "threads", 0, "most requests in flight to a registry host (default: begins with 10 and adapts)")
	f.Float64Var(&o.qps, "qps", 0, "most requests a second to a registry host; 0: adapt to what the host bears")
	f.StringSliceVar(&o.plainHTTP, "plain-http", nil, "`hosts` spoken to without TLS (loopback hosts need not be named)")
	f.StringSliceVar(&o.insecureTLS, "insecure-skip-tls-verify", nil, "`hosts` whose certificates are not verified")
	f.StringVar(&o.caFile, "ca-file", "", "PEM `file` of certificates to trust besides the system's")
}

// addAccountFlags adds the flags of commands that read manifests, which name accounts.
func (o *registryOptions) addAccountFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.keyFiles, "key-files", nil, "Google JSON key `files` for the service accounts that manifests name")
	f.BoolVar(&o.noServiceAccount, "no-service-account", false, "ignore the service accounts that manifests name")
}

// settings returns the settings of a registry client.
func (o *registryOptions) settings(s streams, log logrus.FieldLogger) (registry.Options, error) {
	if o.threads < 0 || !(o.qps >= 0 && o.qps <= 1e6) { // NaN fails every comparison
		return registry.Options{}, errors.New("--threads and --qps want a number that is not negative")
	}
	r := registry.Options{
		UserAgent: "cip/" + s.build.Version, Threads: o.threads, QPS: o.qps, PlainHTTP: o.plainHTTP, InsecureTLS: o.insecureTLS,
		KeyFiles: o.keyFiles, NoServiceAccount: o.noServiceAccount, Log: log, Files: openFiles(),
	}
	if o.caFile != "" {
		pem, err := readFile(o.caFile, maxFile)
		if err != nil {
			return registry.Options{}, fmt.Errorf("reading --ca-file: %w", err)
		}
		r.RootCAs = append(r.RootCAs, pem)
	}
	return r, nil
}

// client returns a registry client.
func (o *registryOptions) client(s streams, sites registry.Sites, log logrus.FieldLogger) (*registry.Client, error) {
	r, err := o.settings(s, log)
	if err != nil {
		return nil, err
	}
	r.Sites = sites
	return registry.New(r)
}

// promotionOptions say how a promotion is done and reported. A command offers those that it has flags for.
type promotionOptions struct {
	registryOptions
	logOptions
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

// addFlags adds the flags of every promotion.
func (o *promotionOptions) addFlags(f *pflag.FlagSet) {
	o.confirmOptions.addFlags(f)
	f.BoolVar(&o.parseOnly, "parse-only", false, "load and validate the files and send no request")
	f.StringVarP(&o.output, "output", "o", "", "form of the report: text (default), json, yaml, csv or markdown")
	f.StringVar(&o.report, "report", "", "write the JSON report to a `file`, too")
	f.BoolVar(&o.allowMissing, "allow-missing", false, "images found in neither source nor destination do not fail the run")
	f.BoolVar(&o.failFast, "fail-fast", false, "write nothing if anything is refused or cannot be read")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "dry run: exit 2 if something would change")
	o.registryOptions.addFlags(f)
	o.logOptions.addFlags(f)
}

// writeFile writes a product to a file: whole or not at all where it is a regular
// file, straight into it where it is a device or a pipe.
func writeFile(path string, write func(io.Writer) error) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	mode := os.FileMode(0o644) // a report is for everyone
	if err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// checkFile returns an error if a product cannot be written to a file later.
func checkFile(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case err == nil:
		return nil
	}
	_, err = os.Stat(filepath.Dir(path))
	return err
}
