package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/logs"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// The exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1
	exitChanges     = 2
	exitRetry       = 3
	exitInterrupted = 130
)

// exitCodesKey is the annotation for the exit codes in a command's help.
const exitCodesKey = "exitCodes"

// drainsKey is the annotation of commands that execute waits for after an interrupt.
//
// They finish open work, and bound the time for that themselves. The value names the
// work.
const drainsKey = "drains"

// exits returns the annotation for exit codes. more are the meanings of code 2, 3 and so on.
func exits(more ...string) map[string]string {
	text := "  0    success: everything that was requested is so\n  1    failure: bad input, something refused, or an error\n"
	for i, meaning := range more {
		text += fmt.Sprintf("  %d    %s\n", i+2, meaning)
	}
	return map[string]string{exitCodesKey: text + "  130  interrupted\n"}
}

// The meanings of the exit codes 2 and 3.
const (
	retryMeaning      = "only failures that another run may cure (only with --detailed-exitcode)"
	changesMeaning    = "a clean dry run found changes (only with --detailed-exitcode)"
	differenceMeaning = "there is a difference (only with --detailed-exitcode)"
	outdatedMeaning   = "an image is out of date (only with --check)"
)

// exitError ends a command with an exit code. Without err nothing more is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// errInterrupted ends a command whose context has ended.
var errInterrupted = &exitError{code: exitInterrupted, err: errors.New("interrupted")}

// failIf returns an error with exit code 1 if failed is set. The reason is already printed.
func failIf(failed bool) error {
	if failed {
		return &exitError{code: exitFailed}
	}
	return nil
}

// lastMoment is the time that a command has to end after an interrupt. It is longer than
// any request may take then. A command that still runs waits for something that never ends.
const lastMoment = 9 * time.Second

// execute runs a command line and returns its exit code. It returns soon after ctx
// ends, even if the command does not.
func execute(ctx context.Context, root *cobra.Command, args []string, s streams) int {
	root.SetArgs(args)
	root.SetOut(s.out)
	root.SetErr(s.err)
	done := make(chan int, 1)
	go func() { done <- s.exitCode(ctx, args, root.ExecuteContext(ctx)) }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
	}
	if cmd, _, err := root.Find(args); err == nil && cmd.Annotations[drainsKey] != "" {
		return <-done
	}
	timer := time.NewTimer(lastMoment)
	defer timer.Stop()
	select {
	case code := <-done:
		return code
	case <-timer.C:
		return exitInterrupted // print nothing: stderr may be what blocks
	}
}

// exitCode prints the error of a command and returns its exit code.
func (s streams) exitCode(ctx context.Context, args []string, err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			s.complain(args, oneLine(exit.err))
		}
		return exit.code
	case ctx.Err() != nil:
		s.complain(args, "interrupted")
		return exitInterrupted
	}
	s.complain(args, oneLine(err))
	return exitFailed
}

// oneLine returns the text of an error. Errors that it joins, which Go separates with
// newlines, are separated with semicolons.
func oneLine(err error) string {
	text := err.Error()
	for ; err != nil; err = errors.Unwrap(err) {
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var texts, lines []string
		for _, e := range joined.Unwrap() {
			texts, lines = append(texts, e.Error()), append(lines, oneLine(e))
		}
		if whole := strings.Join(texts, "\n"); whole == err.Error() {
			return strings.Replace(text, whole, strings.Join(lines, "; "), 1)
		}
	}
	return text
}

// complain prints an error in one line, as JSON if log lines are JSON.
func (s streams) complain(args []string, text string) {
	json := s.getenv(envName("log-format")) == "json"
	for i, a := range args {
		json = json || a == "--log-format=json" || a == "--log-format" && i+1 < len(args) && args[i+1] == "json"
	}
	if !json {
		fmt.Fprintln(s.err, "cip:", output.Escape(text))
		return
	}
	log := logrus.New()
	log.SetOutput(s.err)
	log.SetFormatter(logs.JSON{})
	log.Error(text)
}

func newRootCmd(s streams) *cobra.Command {
	o := &runOptions{}
	root := &cobra.Command{
		Use:   "cip",
		Short: "Promote container images between registries, as reviewed manifests say",
		Long: `cip promotes container images from a source registry to one or more
destination registries. YAML manifests, which people review in pull requests,
list the digests to publish and the tags of each one. cip reads the registries,
computes the difference and prints it (dry run, the default). With --confirm it
copies what is missing.

cip alone is short for cip run: cip --manifest=F is cip run --manifest=F. Each
flag has an environment variable: --thin-manifest-dir can be set with
CIP_THIN_MANIFEST_DIR.`,
		Example: `  cip --thin-manifest-dir=manifests/demo
  cip --thin-manifest-dir=manifests/demo --confirm
  cip snapshot registry.example.com/production`,
		Annotations:       exits(changesMeaning, retryMeaning),
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              noArgs,
		PersistentPreRunE: s.defaults,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().NFlag() == 0 && o.path() == "" && o.snapshotOf == "" && o.manifestSnapshotOf == "" {
				return cmd.Help()
			}
			return o.withLog(s, o.run)(cmd, nil)
		},
	}
	o.addFlags(root.Flags())
	setVersion(root, s)
	setHelp(root, s)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newRunCmd(&runOptions{}, s), newRetagCmd(s), newSnapshotCmd(s), newReportCmd(s), newCheckCmd(s), newHistoryCmd(s), newAddCmd(s), newPRCmd(&prOptions{}, s), newResolveCmd(s), newExplainCmd(s),
		newVerifyCmd(&verifyOptions{}, s), newTagsCmd(s), newRunImageCmd(s), newRebaseCmd(s), newAuditCmd(s), newDemoCmd(s),
		newImportCmd(s), newSchemaCmd(s), newKpromoCmd(s), newVersionCmd(s),
	)
	return root
}

// defaults sets flags from the environment before a command runs.
func (s streams) defaults(cmd *cobra.Command, _ []string) error {
	if err := refuseEmpty(cmd.Flags()); err != nil {
		return err
	}
	return fromEnvironment(cmd.Flags(), s.getenv)
}

// exclusive are groups of flags that exclude each other. A flag on the command line
// overrides the environment variables of its whole group.
var exclusive = [][]string{
	{"manifest", "thin-manifest-dir", "url"},
	{"snapshot", "manifest-based-snapshot-of"},
	{"dry-run", "confirm"},
	{"write", "check"},
	{"signing-key", "identity-token-file"}, {"signing-key", "signer-account"},
}

// restraints are flags without which more would be promoted, or somebody else would sign or
// see it, and what they want. An empty value on the command line, such as from an unset
// shell variable, is an error.
var restraints = [][2]string{
	{"plan", "a file"}, {"signature-key", "a file"}, {"from-snapshot", "a file"},
	{"certificate-identity", "an identity"}, {"certificate-identity-regexp", "an expression"},
	{"certificate-oidc-issuer", "a URL"}, {"certificate-oidc-issuer-regexp", "an expression"}, {"trusted-root", "a file"},
	{"signing-key", "a file"}, {"identity-token-file", "a file"}, {"signer-account", "an account"}, {"summary-signer-account", "an account"},
	{"fulcio-url", "an address"}, {"rekor-url", "an address"}, {"timestamp-url", "an address"},
	{"tag", "a tag"}, {"filter-tag", "a pattern"}, {"image", "an image"}, {"digest", "a digest"},
}

func refuseEmpty(flags *pflag.FlagSet) error {
	for _, r := range restraints {
		if flags.Changed(r[0]) && slices.Contains([]string{"", "[]"}, flags.Lookup(r[0]).Value.String()) {
			return fmt.Errorf("--%s is empty: want %s", r[0], r[1])
		}
	}
	return nil
}

// fromEnvironment sets each flag that is not on the command line to the value of
// CIP_<FLAG>, if there is one.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		value := getenv(name)
		if f.Changed || value == "" || err != nil || f.Name == "help" || f.Name == "version" || overridden(flags, f.Name) {
			return
		}
		if e := f.Value.Set(value); e != nil {
			err = fmt.Errorf("reading %s: %w", name, badValue(f, value, e))
		}
		flags.SetAnnotation(f.Name, fromEnv, nil) //nolint:errcheck // the flag exists
	})
	return err
}

// fromEnv is the annotation of flags whose value came from the environment.
const fromEnv = "cip_environment"

// given reports whether a flag has a value from the command line or the environment.
func given(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	_, env := f.Annotations[fromEnv]
	return f.Changed || env
}

// overridden reports whether a flag on the command line excludes this one.
func overridden(flags *pflag.FlagSet, name string) bool {
	for _, group := range exclusive {
		if slices.Contains(group, name) && slices.ContainsFunc(group, flags.Changed) {
			return true
		}
	}
	return false
}

func envName(flag string) string {
	return "CIP_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
