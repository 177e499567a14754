package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/kpromo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// flagError explains an error about the flags of a command.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, unknown)
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s: %w", bad.GetFlag().Name, badValue(bad.GetFlag(), bad.GetValue(), bad.Unwrap()))
	}
	if empty, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		value, _ := pflag.UnquoteUsage(empty.GetFlag())
		return fmt.Errorf("--%s needs a value: --%s=%s", empty.GetFlag().Name, empty.GetFlag().Name, strings.ToUpper(value))
	}
	return err
}

// unknownFlag returns an error that names what may be meant.
func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	name, dashes := unknown.GetSpecifiedName(), "--"
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		name, dashes = short, "-" // -confirm: one dash, and a name
	}
	name, _, _ = strings.Cut(name, "=")
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	like := meant("--", name, names)
	return fmt.Errorf("unknown flag: %s%s: %s", dashes, name, cmp.Or(kpromo.FormerFlag(name), like, seeHelp(cmd)))
}

// meant asks whether the name that is most like a wrong one is meant. It returns "" if there is none.
func meant(before, wrong string, names []string) string {
	if like := yamlread.Closest(wrong, names); like != "" {
		return "did you mean " + before + like + "?"
	}
	return ""
}

// seeHelp returns the hint of errors that have no better one.
func seeHelp(cmd *cobra.Command) string { return "see " + cmd.CommandPath() + " --help" }

// wanted are the values of the types of flags.
var wanted = map[string]string{
	"bool":        "true or false",
	"int":         "a whole number",
	"float64":     "a number",
	"duration":    "a duration such as 30s or 1h",
	"stringSlice": "values separated by commas",
}

// badValue returns the error for a bad value. err is the error of the flag's own type.
func badValue(f *pflag.Flag, value string, err error) error {
	if want := wanted[f.Value.Type()]; want != "" {
		return fmt.Errorf("bad value %q: want %s", value, want)
	}
	return fmt.Errorf("bad value %q: %w", value, err)
}

// noArgs is the rule of commands without arguments. A file or directory is probably
// meant as a manifest, and anything else as a command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	arg := args[0]
	if cmd.HasAvailableSubCommands() {
		if info, err := os.Stat(arg); err != nil || !info.Mode().IsRegular() && !info.IsDir() || kpromo.FormerCommand(arg) != "" {
			return unknownCommand(cmd, arg)
		}
	}
	hint := ""
	if info, err := os.Stat(arg); err == nil {
		flag := "manifest"
		if info.IsDir() {
			flag = "thin-manifest-dir"
		}
		if cmd.Flags().Lookup(flag) != nil {
			hint = fmt.Sprintf(": did you mean --%s=%s?", flag, arg)
		}
	}
	return fmt.Errorf("%s takes no arguments, got %q%s", cmd.CommandPath(), arg, hint)
}

// unknownCommand returns an error that names what may be meant.
func unknownCommand(cmd *cobra.Command, arg string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	former := ""
	if !cmd.HasParent() {
		former = kpromo.FormerCommand(arg)
	}
	return fmt.Errorf("unknown command %q: %s", arg, cmp.Or(former, meant(cmd.CommandPath()+" ", arg, names), seeHelp(cmd)))
}

// newGroupCmd returns a command that only has others below it. Alone, it prints its help.
func newGroupCmd(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.Args = noArgs
	cmd.RunE = func(*cobra.Command, []string) error { return cmd.Help() }
	cmd.AddCommand(below...)
	return cmd
}

// countArgs is the rule of commands with a number of arguments.
func countArgs(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		got := "no argument"
		if len(args) > 0 {
			got = fmt.Sprintf("%q", args)
		}
		return fmt.Errorf("want %s, got %s", strings.TrimSuffix(cmd.UseLine(), " [flags]"), got)
	}
}
