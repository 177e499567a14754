package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// tagsResolveOptions are the flags of cip tags resolve.
type tagsResolveOptions struct {
	imageTagsOptions
	registryOptions
	fallback bool
	output   string
	verbose  bool
}

func newTagsResolveCmd(s streams) *cobra.Command {
	o := &tagsResolveOptions{}
	cmd := &cobra.Command{
		Use:   "resolve NAME[:TAG][,LABEL=VALUE]…",
		Short: "Print the digest of the image with a tag and labels",
		Long: `resolve follows the aliases of a tag to its labels and adds the given labels,
which take precedence. It prints the digest of the image in the repository NAME
that has all of these labels. It is an error if there is not exactly one match.

Without --image-tags, the tag is the value of the label version. A version is a
tag in the registry, or a label of an image. os, arch and variant select an
image of an index. Other labels are annotations or labels of the image. Values
are percent-encoded: digest=sha256%3A….`,
		Example: `  cip tags resolve registry.example.com/app:latest --image-tags=app.json
  cip tags resolve registry.example.com/app:3.x,os=linux,arch=aarch64 --image-tags=app.json --verbose`,
		Args: countArgs(1, 1),
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	f.BoolVar(&o.fallback, "fallback-version", false, "use a tag that has no labels in the file as the label version")
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text (only the digest) or json (default text)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print the reasons to stderr")
	o.registryOptions.addFlags(f)
	return cmd
}

// run carries out cip tags resolve.
func (o *tagsResolveOptions) run(ctx context.Context, s *session, args []string) error {
	format, err := output.TextOrJSON(o.output, "tag")
	if err != nil {
		return err
	}
	ref, err := resolve.ParseReference(args[0])
	if err != nil {
		return err
	}
	tags, err := o.load(s, false)
	if err != nil {
		return err
	}
	merged, err := tags.Merge(ref.Tag, ref.Labels, o.fallback)
	if err != nil {
		return err
	}
	client, err := o.client(s, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	choice, err := resolve.NewFinder(ctx, lookup.NewRegistry(client), ref.Repository).Alias(ctx, tags, merged)
	if err != nil {
		return err
	}
	if o.verbose {
		for _, line := range output.ExplainTag(merged, choice) {
			s.log.Info(line)
		}
	}
	return output.WriteResolvedTag(s.out, output.ResolvedTag{
		Reference: args[0], Repository: ref.Repository.String(), Digest: choice.Digest, Tag: choice.Tag,
		Path: append([]string{}, merged.Path...), Labels: merged.Labels,
		Candidates: append([]resolve.Candidate{}, choice.Candidates...), Notes: append([]string{}, choice.Notes...),
	}, format)
}
