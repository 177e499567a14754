package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// flagGroups are the headings of flags in help texts. Flags that are in none of them are
// at the end.
var flagGroups = []struct {
	title string
	flags []string
}{
	{"What", []string{
		"manifest", "thin-manifest-dir", "tag", "filter-tag", "all", "image", "digest", "from-snapshot", "resolve", "file", "url", "branch", "path", "since",
		"use-prow-manifest-diff", "manifest-diff-since", "from-days", "to-days", "attestations-since", "limit", "digests", "plan", "shard", "list-shards", "assume-empty", "only", "skip", "base", "older-than", "referrers", "repush",
		"snapshot", "manifest-based-snapshot-of", "snapshot-tag", "minimal-snapshot", "image-tags", "for", "local-mirror", "fallback-version",
		"fold-aliases", "order", "run-image", "previous-image", "serve", "destination", "scoped", "append-suffix",
	}},
	{"How", []string{
		"confirm", "dry-run", "estimate", "round-trip", "parse-only", "allow-missing", "fail-fast", "deep", "if-exists", "write", "check", "allow-rollback", "refresh", "offline",
		"force", "accept", "strict-mirrors", "sweep-interval", "state",
	}},
	{"Pull request", []string{"base-branch", "remote", "fork", "forge", "title", "body", "sign-off", "draft", "staging-repo", "reviewers", "issue", "interactive", "use-ssh"}},
	{"Checks", []string{
		"max-image-size", "signature-key", "certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer",
		"certificate-oidc-issuer-regexp", "trusted-root", "require-signature", "vuln-severity-threshold", "vuln-scanner", "vuln-reports", "vuln-allow", "required-platforms",
	}},
	{"Evidence", []string{
		"attest", "verification-summaries", "sign", "signing-key", "identity-token-file", "signer-account", "summary-signer-account", "fulcio-url", "rekor-url", "timestamp-url",
		"builder-id", "verifier-id", "reviewed-level",
	}},
	{"Output", []string{
		"output", "report", "detailed-exitcode", "verbose", "quiet", "log-level", "log-format", "no-progress", "json",
		"alert-url", "page-url", "commit-url", "project", "uuid",
	}},
	{"Network", []string{
		"threads", "qps", "plain-http", "insecure-skip-tls-verify", "ca-file", "key-files", "no-service-account",
		"listen", "tls-cert", "tls-key", "token-file", "oidc-audience", "oidc-email",
	}},
}

const (
	helpWidth  = 80 // columns, or those of a narrower terminal
	flagColumn = 30 // where the description of a flag begins
)

// setHelp makes a command and those below it print help as texts of writeHelp.
func setHelp(root *cobra.Command, s streams) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(s.out, cmd) })
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(s.err, usage(cmd, output.Width(s.err, helpWidth)))
		return err
	})
}

// writeHelp writes the help of a command.
func writeHelp(w io.Writer, cmd *cobra.Command) {
	width := output.Width(w, helpWidth)
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	_, _ = io.WriteString(w, prose(text, width)+"\n"+usage(cmd, width)) // there is nobody to report an error to
}

// usage returns the help of a command without its description.
func usage(cmd *cobra.Command, width int) string {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if isGroup := cmd.HasParent() && cmd.HasAvailableSubCommands() && cmd.Use == cmd.Name(); cmd.Runnable() && !isGroup {
		b.WriteString("  " + cmd.UseLine() + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("  " + cmd.CommandPath() + " COMMAND\n")
	}
	if cmd.Example != "" {
		b.WriteString("\nExamples:\n")
		for line := range strings.Lines(cmd.Example) {
			b.WriteString(continued(strings.TrimRight(line, "\n"), width))
		}
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nAvailable Commands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				b.WriteString(hanging(fmt.Sprintf("  %-12s", sub.Name()), sub.Short, 15, width))
			}
		}
	}
	flags := cmd.Flags()
	if !cmd.HasParent() && cmd.HasAvailableSubCommands() {
		b.WriteString("\nFlags are those of cip run: cip run --help lists them.\n")
		flags = pflag.NewFlagSet("", pflag.ContinueOnError)
		for _, name := range []string{"help", "version"} {
			flags.AddFlag(cmd.Flags().Lookup(name))
		}
	}
	b.WriteString(flagUsages(flags, width))
	if codes := cmd.Annotations[exitCodesKey]; codes != "" {
		b.WriteString("\nExit codes:\n")
		for line := range strings.Lines(codes) {
			code, meaning, _ := strings.Cut(strings.TrimSpace(line), " ")
			b.WriteString(hanging(fmt.Sprintf("  %-3s", code), strings.TrimSpace(meaning), 7, width))
		}
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nUse \"" + cmd.CommandPath() + " COMMAND --help\" for more about a command.\n")
	}
	return b.String()
}

// flagUsages returns the flags in their groups.
func flagUsages(flags *pflag.FlagSet, width int) string {
	var b strings.Builder
	written := map[string]bool{}
	write := func(title string, names []string) {
		heading := "\n" + title + ":\n"
		for _, name := range names {
			if f := flags.Lookup(name); f != nil && !f.Hidden && f.Deprecated == "" && !written[name] {
				b.WriteString(heading + flagUsage(f, width))
				heading, written[name] = "", true
			}
		}
	}
	for _, group := range flagGroups {
		write(group.title, group.flags)
	}
	var all []string
	flags.VisitAll(func(f *pflag.Flag) { all = append(all, f.Name) })
	write("Other", all)
	return b.String()
}

// flagUsage returns the help of a flag.
func flagUsage(f *pflag.Flag, width int) string {
	value, text := pflag.UnquoteUsage(f)
	name := "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if value != "" {
		name += " " + value
	}
	if !slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) {
		text += " (default " + f.DefValue + ")"
	}
	return hanging(name, text, flagColumn, width)
}

// hanging returns a name and a text next to it, which begins at a column on each line.
func hanging(name, text string, column, width int) string {
	at, line := column, name+strings.Repeat(" ", max(0, column-utf8.RuneCountInString(name)))
	var b strings.Builder
	if name != "" && utf8.RuneCountInString(name) >= column {
		b.WriteString(name + "\n")
		line = strings.Repeat(" ", column)
	}
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if at > column && at+1+n > width {
			b.WriteString(line + "\n")
			at, line = column, strings.Repeat(" ", column)
		}
		if at > column {
			line += " "
			at++
		}
		line += word
		at += n
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}

// continued returns a command line that goes on in further lines if it is too long.
func continued(line string, width int) string {
	var b strings.Builder
	const more = " \\"
	at := 0
	for i, word := range strings.Split(strings.TrimLeft(line, " "), " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
			b.WriteString("  ")
			at = 2
		case at+1+n+len(more) > width:
			b.WriteString(more + "\n      ")
			at = 6
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String() + "\n"
}

// prose wraps text. Lines that begin with a space are not joined with others.
func prose(text string, width int) string {
	var b strings.Builder
	paragraph := ""
	end := func() {
		if paragraph != "" {
			b.WriteString(hanging("", paragraph, 0, width))
		}
		paragraph = ""
	}
	for line := range strings.Lines(strings.ReplaceAll(text, "\t", "  ")) { // cobra indents commands with tabs
		words := strings.TrimSpace(line)
		if words != "" && line[0] != ' ' {
			paragraph += " " + words
			continue
		}
		end()
		indent := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " ")))
		switch {
		case words == "" || utf8.RuneCountInString(line) <= width+1:
			b.WriteString(strings.TrimRight(line, " \n") + "\n")
		default:
			b.WriteString(hanging(indent[:len(indent)-1], words, len(indent), width))
		}
	}
	end()
	return b.String()
}
