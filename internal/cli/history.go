package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/history"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// historyOptions are the flags of cip history.
type historyOptions struct {
	manifestOptions
	olderThan string
	output    string
}

func newHistoryCmd(s streams) *cobra.Command {
	o := &historyOptions{}
	cmd := &cobra.Command{
		Use:   "history REFERENCE|DIGEST",
		Short: "Print the commits that put a tag into the manifests and moved it",
		Long: `history prints the commits that added a tag or digest to the manifests, moved
the tag or removed it, oldest first: file and line, commit, date, author and the
number of the pull request. REFERENCE is an image at a destination, with a tag,
a digest or neither. --older-than lists what is in the manifests for longer than
a time, by team. Only git is read: the history of HEAD by first parents.`,
		Example: `  cip history registry.example.com/apps/web:1.4 --thin-manifest-dir=.
  cip history --older-than=1y --thin-manifest-dir=. --output=json`,
		Args: countArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, args) },
	}
	f := cmd.Flags()
	o.manifestOptions.addFlags(f)
	f.StringVar(&o.olderThan, "older-than", "", "list the tags that were added or moved before this `age` (90d, 1y) or date")
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text or json (default text)")
	return cmd
}

// run carries out cip history.
func (o *historyOptions) run(ctx context.Context, s streams, args []string) error {
	format, err := output.TextOrJSON(o.output, "history")
	if err != nil {
		return err
	}
	var events []history.Event
	err = offline(ctx, func() (err error) {
		events, err = o.events(ctx, args)
		return err
	})
	if err != nil {
		return err
	}
	return output.WriteHistory(s.out, events, format)
}

// events reads the history that the arguments name.
func (o *historyOptions) events(ctx context.Context, args []string) ([]history.Event, error) {
	at, err := o.location()
	switch {
	case err != nil:
		return nil, err
	case (len(args) == 1) == (o.olderThan != ""):
		return nil, errors.New("want one REFERENCE or DIGEST, or --older-than")
	case o.olderThan != "":
		start, ok, err := git.Start(o.olderThan, time.Now())
		if err == nil && !ok {
			err = errors.New("want an age such as 90d or 1y, or a date")
		}
		if err != nil {
			return nil, fmt.Errorf("bad --older-than %q: %w", o.olderThan, err)
		}
		return history.OlderThan(ctx, at, start)
	}
	query, err := history.Parse(args[0])
	if err != nil {
		return nil, err
	}
	events, err := history.Of(ctx, at, query)
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("no commit of %s has %s", o.path(), args[0])
	}
	return events, err
}
