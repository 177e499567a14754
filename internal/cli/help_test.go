package cli

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/kpromo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// quiet are streams that go nowhere.
func quiet() streams {
	return streams{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
}

// commands calls f for each command of both programs.
func commands(f func(cmd *cobra.Command)) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		f(cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := newRootCmd(quiet())
	root.InitDefaultHelpCmd()
	walk(root)
	walk(newAuditorCmd(quiet()))
}

func TestHelpFits(t *testing.T) {
	t.Parallel()
	commands(func(cmd *cobra.Command) {
		var b bytes.Buffer
		writeHelp(&b, cmd)
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
				t.Errorf("%s --help: %d columns, want up to %d: %s", cmd.CommandPath(), n, helpWidth, line)
			}
		}
		before, rest, _ := strings.Cut(b.String(), "Usage:\n  "+cmd.CommandPath())
		if before == "" || rest == "" {
			t.Errorf("%s --help: got no description or no usage, want both:\n%s", cmd.CommandPath(), b.String())
		}
		const narrow = 60
		for line := range strings.Lines(prose(before, narrow) + flagUsages(cmd.Flags(), narrow)) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > narrow && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s --help on a narrow terminal: %d columns, want up to %d: %s", cmd.CommandPath(), n, narrow, line)
			}
		}
	})
}

func TestHelpHasExamplesAndExitCodes(t *testing.T) {
	t.Parallel()
	two := map[string]bool{"cip": true, "cip run": true, "cip retag": true, "cip snapshot diff": true, "cip rebase": true, "cip report merge": true}
	commands(func(cmd *cobra.Command) {
		if !cmd.Runnable() || cmd.Name() == "help" || strings.HasPrefix(cmd.CommandPath(), "cip completion") {
			return
		}
		text := usage(cmd, helpWidth)
		if !strings.Contains(text, "\nExamples:\n") {
			t.Errorf("%s --help: got no example, want one", cmd.CommandPath())
		}
		if got := strings.Contains(text, "\n  2    "); got != two[cmd.CommandPath()] {
			t.Errorf("%s --help has exit code 2: got %v, want %v", cmd.CommandPath(), got, two[cmd.CommandPath()])
		}
	})
}

// TestFlagsAreGrouped demands that a new flag is in one of the groups of help.go.
func TestFlagsAreGrouped(t *testing.T) {
	t.Parallel()
	var grouped []string
	for _, g := range flagGroups {
		grouped = append(grouped, g.flags...)
	}
	known := map[string]bool{}
	commands(func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			known[f.Name] = known[f.Name] || !strings.HasPrefix(cmd.CommandPath(), "cip kpromo")
			if !f.Hidden && !slices.Contains(grouped, f.Name) && f.Name != "help" && f.Name != "version" && !strings.HasPrefix(cmd.CommandPath(), "cip completion") {
				t.Errorf("%s: got --%s in no group of flagGroups, want it in one", cmd.CommandPath(), f.Name)
			}
		})
	})
	slices.Sort(grouped)
	if n := len(slices.Compact(slices.Clone(grouped))); n != len(grouped) {
		t.Errorf("got %d flags in two groups, want 0", len(grouped)-n)
	}
	for name, has := range known {
		if has && kpromo.FormerFlag(name) != "" {
			t.Errorf("got a flag --%s, want none: it is among the flags that cip does not have", name)
		}
	}
	for _, sub := range newRootCmd(quiet()).Commands() {
		if kpromo.FormerCommand(sub.Name()) != "" {
			t.Errorf("got a command %s, want none: it is among the commands that cip does not have", sub.Name())
		}
	}
}

func TestRootHelpListsCommands(t *testing.T) {
	t.Parallel()
	root := newRootCmd(quiet())
	root.InitDefaultHelpCmd()
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	text := usage(root, helpWidth)
	for _, sub := range root.Commands() {
		if !strings.Contains(text, "\n  "+sub.Name()+" ") {
			t.Errorf("got no %s, want it in\n%s", sub.Name(), text)
		}
	}
	if strings.Contains(text, "\n      --thin-manifest-dir") {
		t.Errorf("got flags of run, want none in\n%s", text)
	}
}

func TestHelpWidth(t *testing.T) {
	t.Parallel()
	if got := output.Width(io.Discard, helpWidth); got != helpWidth {
		t.Errorf("width without a terminal: got %d, want %d", got, helpWidth)
	}
	want := "      --a-rather-long-name-of-a-flag directory\n" +
		"                              read a few words from\n" +
		"                              this directory\n" +
		"                              (default .)\n"
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("a-rather-long-name-of-a-flag", ".", "read a few words from this `directory`")
	if got := flagUsage(flags.Lookup("a-rather-long-name-of-a-flag"), 52); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
