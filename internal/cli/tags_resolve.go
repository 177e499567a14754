package cli

import (
	"context"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// tagsResolveOptions are the flags of cip tags resolve.
type tagsResolveOptions struct {
	imageTagsOptions
	registryOptions
	logOptions
	fallback bool
	output   string
	verbose  bool
}

func newTagsResolveCmd(s streams) *cobra.Command {
	o := &tagsResolveOptions{}
	cmd := &cobra.Command{
		Use:   "resolve NAME[:TAG][,LABEL=VALUE]…",
		Short: "Print the digest that a tag and labels lead to",
		Long: `resolve follows the aliases of a tag to its labels, adds the labels that are given
(they win), and prints the digest of the one image in the repository NAME that has
them all. Without --image-tags the tag stands for the label version. A version is a
tag of the registry, or what an image says of itself; os, arch and variant choose an
image of an index; other labels are annotations or labels of the image. That no image
has the labels, or more than one, is an error that says why. Values are
percent-encoded: digest=sha256%3A….`,
		Example: `  cip tags resolve registry.example.com/app:latest --image-tags=app.json
  cip tags resolve registry.example.com/app:3.x,os=linux,arch=aarch64 --image-tags=app.json --verbose`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runTagsResolve(cmd.Context(), o, s, args[0]) },
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	f.BoolVar(&o.fallback, "fallback-version", false, "a tag without labels in the file stands for the label version")
	f.StringVarP(&o.output, "output", "o", "", "form of the result: text (the digest alone) or json (default text)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say on stderr why")
	o.registryOptions.addFlags(f)
	o.logOptions.addFlags(f)
	return cmd
}

// runTagsResolve carries out cip tags resolve.
func runTagsResolve(ctx context.Context, o *tagsResolveOptions, s streams, reference string) error {
	log, _, err := o.logger(s)
	if err != nil {
		return err
	}
	format, err := output.TextOrJSON(o.output, "tag")
	if err != nil {
		return err
	}
	ref, err := resolve.ParseReference(reference)
	if err != nil {
		return err
	}
	tags, err := o.load(log)
	if err != nil {
		return err
	}
	merged, err := tags.Merge(ref.Tag, ref.Labels, o.fallback)
	if err != nil {
		return err
	}
	client, err := o.client(s, nil, log)
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
			log.Info(line)
		}
	}
	return output.WriteResolvedTag(s.out, output.ResolvedTag{
		Reference: reference, Repository: ref.Repository.String(), Digest: choice.Digest, Tag: choice.Tag,
		Path: append([]string{}, merged.Path...), Labels: merged.Labels, Candidates: output.Candidates(choice), Notes: append([]string{}, choice.Notes...),
	}, format)
}
