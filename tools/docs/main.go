// Command docs writes the reference pages of the commands of cip and cip-auditor.
//
//	docs markdown DIR      a page in Markdown for each command
//	docs man DIR           a man page for each command
//	docs completions DIR   completions for bash, fish and zsh
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"sigs.k8s.io/k8s-container-image-promoter/internal/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: docs markdown|man|completions DIR")
	}
	write := map[string]func(*cobra.Command, string) error{"markdown": markdown, "man": man, "completions": completions}[args[0]]
	if write == nil {
		return fmt.Errorf("unknown form %q", args[0])
	}
	if err := os.RemoveAll(args[1]); err != nil {
		return err
	}
	if err := os.MkdirAll(args[1], 0o755); err != nil {
		return err
	}
	for _, p := range []cli.Program{cli.Cip, cli.Auditor} {
		root := p.Command()
		root.DisableAutoGenTag = true // the pages are the same on each day
		addExitCodes(root)
		if err := write(root, args[1]); err != nil {
			return err
		}
	}
	return nil
}

// addExitCodes adds the exit codes, which the help prints at its end, to the description
// of each command.
func addExitCodes(cmd *cobra.Command) {
	if codes := cmd.Annotations["exitCodes"]; codes != "" {
		cmd.Long += "\n\nExit codes:\n\n" + codes
	}
	for _, c := range cmd.Commands() {
		addExitCodes(c)
	}
}

func markdown(root *cobra.Command, dir string) error { return doc.GenMarkdownTree(root, dir) }

func man(root *cobra.Command, dir string) error {
	epoch := time.Unix(0, 0).UTC()
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "cip", Manual: "cip manual", Date: &epoch}, dir)
}

// completions writes the files under names that shells expect.
func completions(root *cobra.Command, dir string) error {
	if !root.HasSubCommands() {
		return nil // cip-auditor
	}
	name := strings.Fields(root.Use)[0]
	return errors.Join(
		root.GenBashCompletionFileV2(filepath.Join(dir, name+".bash"), true),
		root.GenFishCompletionFile(filepath.Join(dir, name+".fish"), true),
		root.GenZshCompletionFile(filepath.Join(dir, "_"+name)),
	)
}
