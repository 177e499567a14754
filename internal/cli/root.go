package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// The exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1
	exitChanges     = 2
	exitInterrupted = 130
)

// exitCodesKey is the annotation of commands whose help has a block of exit codes.
const exitCodesKey = "exitCodes"

// drainsKey is the annotation of commands that execute waits for after an interrupt.
//
// They finish open work, and bound the time for that themselves. The value names the
// work.
const drainsKey = "drains"

// exits returns the annotation for a command's exit codes. two is the meaning of 2, or "".
func exits(two string) map[string]string {
	text := "  0    success: everything that was requested is so\n  1    something is not so, whatever the reason\n"
	if two != "" {
		text += "  2    " + two + "\n"
	}
	return map[string]string{exitCodesKey: text + "  130  interrupted\n"}
}

// The meanings of exit code 2.
const (
	changesMeaning    = "a clean dry run found changes (only with --detailed-exitcode)"
	differenceMeaning = "there is a difference (only with --detailed-exitcode)"
	outdatedMeaning   = "an image is out of date (only with --check)"
)

// usageExitCodes is the part of the usage template that prints them.
const usageExitCodes = `{{with index .Annotations "` + exitCodesKey + `"}}
Exit codes:
{{.}}{{end}}`

// streams are what a command talks to: its product goes to out, all talk to err.
type streams struct {
	out, err io.Writer
	getenv   func(string) string
	build    Build
}

// exitError ends a command with a code. Without err everything has been said.
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

// lastMoment is how long after an interrupt a command may go on: longer than any of
// its requests. What still runs then waits for something that does not end.
const lastMoment = 9 * time.Second

// execute runs one command line and returns the exit code. It returns soon after ctx
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
		return exitInterrupted // without a word: it may be stderr that is stuck
	}
}

// exitCode returns the exit code of a command, and says what ended it.
func (s streams) exitCode(ctx context.Context, args []string, err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			s.complain(args, exit.err.Error())
		}
		return exit.code
	case ctx.Err() != nil:
		s.complain(args, "interrupted")
		return exitInterrupted
	}
	s.complain(args, err.Error())
	return exitFailed
}

// complain says in one line what ended the command; as JSON where log lines are.
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
	log.SetFormatter(&jsonFormatter{})
	log.Error(text)
}

func newRootCmd(s streams) *cobra.Command {
	o := &runOptions{}
	root := &cobra.Command{
		Use:   "cip",
		Short: "Promote container images between registries as reviewed manifests say",
		Long: `cip promotes container images from a source registry to one or more
destination registries. What should be where is written in YAML manifests that
people review in pull requests; cip reads the registries, computes the
difference, shows it (dry run, the default), and with --confirm performs it.

cip takes the flags of cip run itself: cip --thin-manifest-dir=D is cip run --thin-manifest-dir=D.
Every flag has a default from the environment: --thin-manifest-dir from CIP_THIN_MANIFEST_DIR.`,
		Annotations:       exits(changesMeaning),
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.NoArgs,
		PersistentPreRunE: s.defaults,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().NFlag() == 0 && o.path() == "" && o.snapshotOf == "" && o.manifestSnapshotOf == "" {
				return cmd.Help()
			}
			return runRun(cmd.Context(), o, s)
		},
	}
	o.addFlags(root.Flags())
	setVersion(root, s)
	root.SetUsageTemplate(root.UsageTemplate() + usageExitCodes)
	root.AddCommand(
		newRunCmd(s), newRetagCmd(s), newSnapshotCmd(s), newCheckCmd(s), newResolveCmd(s), newExplainCmd(s),
		newTagsCmd(s), newRunImageCmd(s), newRebaseCmd(s), newAuditCmd(s), newDemoCmd(s),
		newSchemaCmd(s), newVersionCmd(s),
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

// exclusive are flags that stand for each other: one on the command line beats all in the environment.
var exclusive = [][]string{
	{"manifest", "thin-manifest-dir", "url"},
	{"snapshot", "manifest-based-snapshot-of"},
	{"dry-run", "confirm"},
	{"write", "check"},
}

// restraints are files without which more is promoted: empty on the command line, as
// from a variable that is not set, they are not taken for left out.
var restraints = []string{"plan", "signature-key"}

func refuseEmpty(flags *pflag.FlagSet) error {
	for _, name := range restraints {
		if flags.Changed(name) && flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("--%s is empty: want a file", name)
		}
	}
	return nil
}

// fromEnvironment gives each flag that is not on the command line its value from
// CIP_<FLAG>, if that is set.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		value := getenv(name)
		if f.Changed || value == "" || err != nil || f.Name == "help" || beaten(flags, f.Name) {
			return
		}
		if e := f.Value.Set(value); e != nil {
			err = fmt.Errorf("reading %s: bad value %q: want %s", name, value, f.Value.Type())
		}
		flags.SetAnnotation(f.Name, fromEnv, nil) //nolint:errcheck // the flag exists
	})
	return err
}

// fromEnv marks flags whose value came from the environment.
const fromEnv = "cip_environment"

// given reports whether a flag has a value from the command line or the environment.
func given(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	_, env := f.Annotations[fromEnv]
	return f.Changed || env
}

// beaten reports whether a flag on the command line stands for this one.
func beaten(flags *pflag.FlagSet, name string) bool {
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
