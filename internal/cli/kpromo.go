package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/internal/kpromo"
)

func newKpromoCmd(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   kpromo.Name,
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
				return fmt.Errorf("unknown command %q: %s", args[0], cmp.Or(kpromo.FormerCommand(args[0]), seeHelp(cmd)))
			}
			about, _, err := cmd.Find(args[min(1, len(args)):])
			if err != nil {
				return err
			}
			return about.Help()
		},
	}
	level := cmd.PersistentFlags().String("log-level", "info", logLevelUsage)
	for _, c := range kpromo.Commands() {
		cmd.AddCommand(newTranslatedCmd(s, c, level))
	}
	about := kpromo.VersionOf(s.build)
	cmd.AddCommand(printsVersion(s, "", about.String(), about, &cobra.Command{
		Short: "Print the version of cip in the form of kpromo", Example: "  cip kpromo version --json",
	}))
	return cmd
}

// newTranslatedCmd returns a command of kpromo, which runs one of cip.
func newTranslatedCmd(s streams, c kpromo.Command, level *string) *cobra.Command {
	cmd := &cobra.Command{Use: c.Use, Short: c.Short, Long: c.Long, Example: c.Example, Annotations: exits(), Args: noArgs}
	if c.Operands {
		cmd.Args = cobra.ArbitraryArgs
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		line, err := c.Translate(kpromo.Input{Flags: cmd.Flags(), Operands: args, Getenv: s.getenv, Build: s.build, Now: time.Now()})
		if err != nil {
			return err
		}
		return s.runLine(cmd.Context(), line, *level)
	}
	c.AddFlags(cmd.Flags())
	return cmd
}

// runLine runs the command line of cip that one of kpromo means. Its settings without a flag
// are what kpromo knows about Kubernetes.
func (s streams) runLine(ctx context.Context, line *kpromo.Line, level string) error {
	s.getenv = kpromo.Getenv(s.getenv)
	logging := logOptions{level: level, format: cmp.Or(s.getenv(envName("log-format")), "text"), noProgress: true}
	session, err := logging.session(s)
	switch {
	case err != nil:
		return err
	case line.Proposal != nil:
		return session.runProposal(ctx, line)
	case line.Uploads != nil:
		return session.runSigcheck(ctx, line)
	}
	o := &runOptions{}
	o.ifPresent, o.adapt = true, kpromo.Names
	o.advice = "--sign=false promotes without signatures and evidence"
	return session.runInstead(ctx, newRunCmd(o, s), line)
}

// runProposal runs cip pr in a clone that exists for this run only.
func (s *session) runProposal(ctx context.Context, line *kpromo.Line) error {
	dir, err := os.MkdirTemp("", "cip-kpromo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at, err := line.Proposal.Clone(dir)
	if err != nil {
		return err
	}
	o := &prOptions{custom: &customProposal{body: line.Proposal.Body, ask: line.Proposal.Ask}}
	return s.runInstead(ctx, newPRCmd(o, s.streams), line, "--thin-manifest-dir="+at)
}

// runSigcheck runs cip verify for the images of the line, or for those that were uploaded.
func (s *session) runSigcheck(ctx context.Context, line *kpromo.Line) error {
	if len(line.Operands) == 0 {
		client, err := (&registryOptions{}).client(s, nil)
		if err != nil {
			return err
		}
		defer client.Close()
		if line.Operands, err = line.Uploads.Find(ctx, client, s.warn); err != nil {
			return err
		}
		if len(line.Operands) == 0 {
			s.log.Info("nothing to verify: " + line.Uploads.None())
			return nil
		}
	}
	o := &verifyOptions{names: line.Uploads.Names()}
	o.adapt = kpromo.Names
	return s.runInstead(ctx, newVerifyCmd(o, s.streams), line)
}

// runInstead logs the warnings of a line, and runs it. more are arguments of this run that
// the log does not show.
func (s *session) runInstead(ctx context.Context, cmd *cobra.Command, line *kpromo.Line, more ...string) error {
	for _, text := range line.Warnings {
		s.warn(text)
	}
	const most = 3 // arguments that a line should have
	shown, rest := line.Operands, ""
	if len(shown) > most {
		shown, rest = shown[:most], fmt.Sprintf(" … (%d arguments in all)", len(shown))
	}
	s.log.Infof("the command of cip is: %s%s", shellquote.Join(slices.Concat([]string{"cip", cmd.Name()}, line.Args, shown)...), rest)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.PersistentPreRunE = s.defaults
	cmd.SetArgs(slices.Concat(line.Args, more, line.Operands))
	cmd.SetFlagErrorFunc(flagError)
	return cmd.ExecuteContext(ctx)
}
