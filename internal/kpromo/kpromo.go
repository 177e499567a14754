// Package kpromo translates command lines of kpromo, the promoter of Kubernetes, into
// those of cip.
//
// It never runs a command of cip. Nothing else in the code knows what kpromo does.
package kpromo

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
)

// Name is the name of a command, and of a link to the program that runs it.
const Name = "kpromo"

// CommandLine returns the arguments of a process. Those of a process with the name kpromo
// are the arguments of this command.
func CommandLine(argv []string) []string {
	if strings.TrimSuffix(filepath.Base(argv[0]), ".exe") == Name {
		return append([]string{Name}, argv[1:]...)
	}
	return argv[1:]
}

// variables are those of flags that kpromo does not have and that count all the same: they
// say where something is. Other variables of cip do not reach its commands.
var variables = []string{
	"CIP_REPORT", "CIP_LOG_FORMAT", "CIP_CA_FILE", "CIP_TRUSTED_ROOT", "CIP_IDENTITY_TOKEN_FILE", "CIP_FULCIO_URL", "CIP_REKOR_URL", "CIP_TIMESTAMP_URL",
}

// Getenv returns the environment of the commands of cip that a line leads to.
func Getenv(getenv func(string) string) func(string) string {
	return func(name string) string {
		if strings.HasPrefix(name, "CIP_") && !slices.Contains(variables, name) {
			return ""
		}
		return getenv(name)
	}
}

// Command is a command of kpromo that has an equivalent in cip.
type Command struct {
	Use, Short, Long, Example string
	Operands                  bool // it takes arguments that are not flags

	flags     []flag
	translate func(*translation) error
}

// Commands returns the commands.
func Commands() []Command { return []Command{promoteCommand(), proposeCommand(), sigcheckCommand()} }

// Input is a command line of kpromo, and all that its meaning depends on.
type Input struct {
	Flags    *pflag.FlagSet // parsed
	Operands []string
	Getenv   func(string) string // the whole environment
	Build    version.Build
	Now      time.Time
}

// Line is the command line of cip that a command line of kpromo means, without the name of
// the command.
type Line struct {
	Args     []string
	Operands []string // more arguments, of which there may be thousands
	Warnings []string

	Proposal *Proposal // for cip pr
	Uploads  *Uploads  // for cip verify; of a line with neither, the command is cip run
}

// effect says what a flag of kpromo does.
type effect int

const (
	same    effect = iota + 1 // cip has a flag of this name with this meaning
	special                   // code handles it
	ignored                   // it has no effect
	refused                   // to ignore it would promote more
)

// flag is a flag of kpromo. Without usage it is hidden.
type flag struct {
	name   string
	value  any // default
	effect effect
	usage  string
}

// why returns the reason why a flag has no effect or is refused.
func (k flag) why() string {
	if k.name == "max-image-size" {
		return "it has none in kpromo either; cip run --max-image-size refuses images"
	}
	return formerFlags[k.name]
}

// AddFlags adds the flags of the command.
func (c Command) AddFlags(f *pflag.FlagSet) {
	letters := map[string]string{"tag": "t", "interactive": "i"}
	for _, k := range c.flags {
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

// Translate returns the line of cip. It refuses the flags that have no equivalent in cip,
// and warns about those without effect.
func (c Command) Translate(in Input) (*Line, error) {
	t := &translation{Input: in}
	for _, k := range c.flags {
		switch {
		case !in.Flags.Changed(k.name):
		case k.effect == refused:
			return nil, fmt.Errorf("--%s is not supported: %s", k.name, k.why())
		case k.effect == ignored:
			t.warn("--%s has no effect: %s", k.name, k.why())
		}
	}
	if in.Flags.Changed("log-level") {
		t.pass("log-level")
	}
	err := c.translate(t)
	return &t.line, err
}

// translation makes the line of cip for one of kpromo.
type translation struct {
	Input
	line Line
}

func (t *translation) warn(format string, args ...any) {
	t.line.Warnings = append(t.line.Warnings, fmt.Sprintf(format, args...))
}

// text returns the value of a flag of kpromo.
func (t *translation) text(name string) string { return t.Flags.Lookup(name).Value.String() }

// list returns the values of a flag of kpromo.
func (t *translation) list(name string) []string {
	if all, err := t.Flags.GetStringSlice(name); err == nil {
		return all
	}
	return []string{t.text(name)}
}

// on reports whether a flag of kpromo is true.
func (t *translation) on(name string) bool { return t.text(name) == "true" }

// number returns the value of a flag of kpromo that is a number.
func (t *translation) number(name string) int {
	n, _ := t.Flags.GetInt(name) // the table says that it is a number
	return n
}

// add adds arguments of cip.
func (t *translation) add(args ...string) { t.line.Args = append(t.line.Args, args...) }

// set adds a flag of cip with a value.
func (t *translation) set(name, value string) { t.add("--" + name + "=" + value) }

// pass adds flags of kpromo that are not empty.
func (t *translation) pass(names ...string) {
	for _, name := range names {
		isBool := t.Flags.Lookup(name).Value.Type() == "bool"
		for _, value := range t.list(name) {
			switch {
			case isBool && value == "true":
				t.add("--" + name)
			case value != "" && (!isBool || t.Flags.Lookup(name).DefValue == "true"):
				t.set(name, value)
			}
		}
	}
}

// drop warns about flags that have no effect next to others.
func (t *translation) drop(why string, names ...string) {
	for _, name := range names {
		if t.Flags.Changed(name) {
			t.warn("--%s has no effect %s", name, why)
		}
	}
}

// identities translates the flags about identities and signatures. A regular expression replaces the
// value of its pair.
func (t *translation) identities() error {
	for _, name := range []string{"certificate-identity", "certificate-oidc-issuer"} {
		if t.text(name) == "" && t.text(name+"-regexp") == "" {
			return fmt.Errorf("--%s is empty: want a value, or --%[1]s-regexp", name)
		}
		if t.text(name+"-regexp") != "" {
			name += "-regexp"
		}
		t.pass(name)
	}
	if n := t.number("max-signature-ops"); n < 1 { // cip does not limit them
		return fmt.Errorf("bad --max-signature-ops %d: must be positive", n)
	}
	return nil
}
