package cli

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// kpromo is the name of a command, and of a link to the program that runs it.
const kpromo = "kpromo"

// commandLine returns the arguments of a process. Those of a process with the name kpromo
// are the arguments of this command.
func commandLine(argv []string) []string {
	if strings.TrimSuffix(filepath.Base(argv[0]), ".exe") == kpromo {
		return append([]string{kpromo}, argv[1:]...)
	}
	return argv[1:]
}

// translation is a command line of cip with the meaning of one of kpromo.
type translation struct {
	from     *pflag.FlagSet
	args     []string
	warnings []string
	in       string // directory that the manifests are in; empty: the current one
}

// kpromoEffect says what a flag of kpromo does.
type kpromoEffect int

const (
	same    kpromoEffect = iota + 1 // cip has a flag of this name with this meaning
	special                         // code handles it
	ignored                         // it has no effect
	refused                         // to ignore it would promote more
)

// kpromoFlag is a flag of kpromo. Without usage it is hidden.
type kpromoFlag struct {
	name   string
	value  any // default
	effect kpromoEffect
	usage  string
}

// why returns the reason why a flag has no effect or is refused.
func (k kpromoFlag) why() string {
	if k.name == "max-image-size" {
		return "it has none in kpromo either; cip run --max-image-size refuses images"
	}
	return formerFlags[k.name]
}

// kpromoVariables are the flags that kpromo does not have and whose variables count all the
// same: they say where something is. Other variables of cip do not reach its commands.
var kpromoVariables = []string{"report", "log-format", "ca-file", "trusted-root", "identity-token-file", "fulcio-url", "rekor-url", "timestamp-url"}

func newKpromoCmd(s streams) *cobra.Command {
	getenv := s.getenv
	s.getenv = func(name string) string {
		known := func(flag string) bool { return envName(flag) == name }
		if strings.HasPrefix(name, envName("")) && !slices.ContainsFunc(kpromoVariables, known) {
			return ""
		}
		return getenv(name)
	}
	cmd := &cobra.Command{
		Use:   kpromo,
		Short: "Take the command line of kpromo",
		Long: `kpromo takes the commands and flags of kpromo, the promoter of Kubernetes, so that
its jobs run unchanged. A link to cip with this name takes them, too. The
command of cip that does the same is logged. Flags that have no effect are
warnings; those that were controls and are missing here are errors.`,
		Example: `  cip kpromo cip --thin-manifest-dir=registry.k8s.io --use-prow-manifest-diff
  ln -s cip kpromo && ./kpromo version --json`,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // no flag has a default from the environment
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && args[0] != "help" {
				return fmt.Errorf("unknown command %q: %s", args[0], cmp.Or(formerCommands[args[0]], "see "+cmd.CommandPath()+" --help"))
			}
			about, _, err := cmd.Find(args[min(1, len(args)):])
			if err != nil {
				return err
			}
			return about.Help()
		},
	}
	cmd.PersistentFlags().String("log-level", "info", "minimum log `level`: trace, debug, info, warning or error")
	cmd.AddCommand(newKpromoCipCmd(s), newKpromoPRCmd(s), newKpromoSigcheckCmd(s, getenv), newKpromoVersionCmd(s))
	return cmd
}

// addFlags adds a table of flags to a command.
func addFlags(f *pflag.FlagSet, table []kpromoFlag) {
	letters := map[string]string{"tag": "t", "interactive": "i"}
	for _, k := range table {
		switch value := k.value.(type) {
		case bool:
			f.BoolP(k.name, letters[k.name], value, k.usage)
		case int:
			f.Int(k.name, value, k.usage)
		case string:
			f.String(k.name, value, k.usage)
		case []string:
			f.StringSliceP(k.name, letters[k.name], value, k.usage)
		}
		f.Lookup(k.name).Hidden = k.usage == ""
		if k.value == krelTrust {
			f.Lookup(k.name).DefValue = "" // too long with "(default …)"; the usage has it
		}
	}
}

// newTranslation starts a translation. It refuses the flags that have no place in cip, and
// warns about those without effect.
func newTranslation(from *pflag.FlagSet, table []kpromoFlag) (*translation, error) {
	t := &translation{from: from}
	for _, k := range table {
		switch {
		case !from.Changed(k.name):
		case k.effect == refused:
			return nil, fmt.Errorf("--%s is not supported: %s", k.name, k.why())
		case k.effect == ignored:
			t.warn("--%s has no effect: %s", k.name, k.why())
		}
	}
	if from.Changed("log-level") {
		t.pass("log-level")
	}
	return t, nil
}

func (t *translation) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// text returns the value of a flag of kpromo.
func (t *translation) text(name string) string { return t.from.Lookup(name).Value.String() }

// list returns the values of a flag of kpromo.
func (t *translation) list(name string) []string {
	if all, err := t.from.GetStringSlice(name); err == nil {
		return all
	}
	return []string{t.text(name)}
}

// on reports whether a flag of kpromo is true.
func (t *translation) on(name string) bool { return t.text(name) == "true" }

// add adds a flag of cip.
func (t *translation) add(name, value string) { t.args = append(t.args, "--"+name+"="+value) }

// pass adds flags of kpromo that are not empty.
func (t *translation) pass(names ...string) {
	for _, name := range names {
		isBool := t.from.Lookup(name).Value.Type() == "bool"
		for _, value := range t.list(name) {
			switch {
			case isBool && value == "true":
				t.args = append(t.args, "--"+name)
			case value != "" && (!isBool || t.from.Lookup(name).DefValue == "true"):
				t.add(name, value)
			}
		}
	}
}

// drop warns about flags that have no effect next to others.
func (t *translation) drop(why string, names ...string) {
	for _, name := range names {
		if t.from.Changed(name) {
			t.warn("--%s has no effect %s", name, why)
		}
	}
}

// session returns the log of a translation.
func (t *translation) session(s streams) (*session, error) {
	o := logOptions{level: t.text("log-level"), format: cmp.Or(s.getenv(envName("log-format")), "text"), noProgress: true}
	return o.session(s)
}

// instead logs the warnings of a translation, and runs a command of cip. operands are more
// arguments than a line should have.
func (t *translation) instead(ctx context.Context, cmd *cobra.Command, s streams, operands ...string) error {
	session, err := t.session(s)
	if err != nil {
		return err
	}
	for _, text := range t.warnings {
		session.warn(text)
	}
	words := append([]string{"cip", cmd.Name()}, t.args...)
	more := ""
	if most := 3; len(operands) > most {
		more = fmt.Sprintf(" … (%d arguments in all)", len(operands))
		words = append(words, operands[:most]...)
	} else {
		words = append(words, operands...)
	}
	session.log.Infof("the command of cip is: %s%s", shellquote.Join(words...), more)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.PersistentPreRunE = s.defaults
	cmd.SetArgs(append(inside(t.in, t.args), operands...))
	cmd.SetFlagErrorFunc(flagError)
	return cmd.ExecuteContext(ctx)
}

// kpromoInfo is the JSON form of kpromo version.
type kpromoInfo struct {
	Version   string `json:"gitVersion"`
	Commit    string `json:"gitCommit"`
	TreeState string `json:"gitTreeState"`
	Date      string `json:"buildDate"`
	Go        string `json:"goVersion"`
	Compiler  string `json:"compiler"`
	Platform  string `json:"platform"`
}

func newKpromoVersionCmd(s streams) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of cip in the form of kpromo",
		Args:    noArgs,
		Example: "  cip kpromo version --json",
		RunE: func(*cobra.Command, []string) error {
			commit, _, dirty := strings.Cut(s.build.Commit, "-dirty")
			state := "clean"
			if dirty {
				state = "dirty"
			}
			info := kpromoInfo{releaseOf(s.build), commit, state, s.build.Date, runtime.Version(), runtime.Compiler, version.Platform()}
			if asJSON {
				return output.WriteJSON(s.out, info)
			}
			_, err := fmt.Fprintf(s.out, "cip, under the name kpromo\n\nGitVersion:    %s\nGitCommit:     %s\nGitTreeState:  %s\nBuildDate:     %s\nGoVersion:     %s\nCompiler:      %s\nPlatform:      %s\n",
				info.Version, info.Commit, info.TreeState, info.Date, info.Go, info.Compiler, info.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// releaseOf returns the version of a build as git tags have it: v1.2.3.
func releaseOf(b version.Build) string {
	if b.Version != "" && '0' <= b.Version[0] && b.Version[0] <= '9' {
		return "v" + b.Version
	}
	return b.Version
}
