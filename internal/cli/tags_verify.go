package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// tagsAtOnce is how many tags are verified at once; the host's pace bounds the requests.
const tagsAtOnce = 16

// tagsVerifyOptions are the flags of cip tags verify.
type tagsVerifyOptions struct {
	imageTagsOptions
	registryOptions
	logOptions
}

func newTagsVerifyCmd(s streams) *cobra.Command {
	o := &tagsVerifyOptions{}
	cmd := &cobra.Command{
		Use:         "verify [REPOSITORY[,LABEL=VALUE]…]",
		Annotations: exits(""),
		Short:       "Check that every tag of an image tags file leads to one image",
		Long: `verify checks that every tag of an image tags file leads to labels: no aliases in a
circle, none that end nowhere. No request is sent for that. With a repository it also
checks that the labels of each tag, with those that are given, lead to exactly one
image there. Everything that is wrong is told, with its place in the file.`,
		Example: `  cip tags verify --image-tags=app.json
  cip tags verify --image-tags=app.json registry.example.com/app,os=linux,arch=amd64`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runTagsVerify(cmd.Context(), o, s, args) },
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	o.registryOptions.addFlags(f)
	o.logOptions.addFlags(f)
	return cmd
}

// runTagsVerify carries out cip tags verify.
func runTagsVerify(ctx context.Context, o *tagsVerifyOptions, s streams, args []string) error {
	log, progress, err := o.logger(s)
	if err != nil {
		return err
	}
	var ref resolve.Reference
	if len(args) > 0 {
		if ref, err = resolve.ParseReference(args[0]); err != nil {
			return err
		}
		if ref.Tag != "" {
			return errors.New("verify checks every tag: name the repository without one")
		}
	}
	tags, err := o.required(log)
	if err != nil {
		return err
	}
	ends, faults := chainEnds(tags)
	summary := leading(len(tags.Tags())-len(faults), len(ends))
	if len(args) > 0 {
		progress.Start("looking for images", len(ends))
		missing, err := o.lookFor(ctx, s, log, ref, tags, ends, progress)
		progress.Finish()
		if err != nil {
			return err
		}
		summary += fmt.Sprintf(", of which %d lead to one image in %s", len(ends)-len(missing), ref.Repository)
		faults = append(faults, missing...)
	}
	slices.SortStableFunc(faults, func(a, b manifest.Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	logFaults(log, faults)
	if _, err := fmt.Fprintln(s.out, summary+"."); err != nil {
		return err
	}
	if len(faults) > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// leading says how many tags lead to labels.
func leading(tags, sets int) string {
	t, s := "tags lead", "sets"
	if tags == 1 {
		t = "tag leads"
	}
	if sets == 1 {
		s = "set"
	}
	return fmt.Sprintf("%d %s to %d %s of labels", tags, t, sets, s)
}

// chainEnds returns the tags with labels that the tags of a file lead to, sorted, and
// what is wrong with those that lead to none.
func chainEnds(tags *imagetags.File) (ends []string, faults []manifest.Fault) {
	found := map[string]struct{}{}
	for _, tag := range tags.Tags() {
		path, err := tags.Chain(tag)
		if fault := (manifest.Fault{}); errors.As(err, &fault) {
			faults = append(faults, fault)
			continue
		}
		found[path[len(path)-1]] = struct{}{}
	}
	return slices.Sorted(maps.Keys(found)), faults
}

// lookFor looks for the image of each tag, and returns what is wrong with those that have not one.
func (o *tagsVerifyOptions) lookFor(ctx context.Context, s streams, log *logrus.Logger, ref resolve.Reference, tags *imagetags.File, ends []string, progress *output.Progress) ([]manifest.Fault, error) {
	client, err := o.client(s, nil, log)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	finder := resolve.NewFinder(ctx, lookup.NewRegistry(client), ref.Repository)
	wrong := make([]error, len(ends))
	var g errgroup.Group
	g.SetLimit(tagsAtOnce)
	for i, tag := range ends {
		g.Go(func() error {
			m, err := tags.Merge(tag, ref.Labels, false)
			if err == nil {
				_, err = finder.Find(ctx, m.Labels)
			}
			wrong[i] = err
			progress.Step()
			return nil
		})
	}
	_ = g.Wait() // each tag has its own
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var faults []manifest.Fault
	for i, err := range wrong {
		if err != nil {
			faults = append(faults, manifest.Fault{Pos: tags.Pos(ends[i]), Severity: manifest.Refused, Message: fmt.Sprintf("tag %q: %v", ends[i], err)})
		}
	}
	return faults, nil
}
