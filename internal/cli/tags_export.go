package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// tagsExportOptions are the flags of cip tags export.
type tagsExportOptions struct {
	registryOptions
	fold bool
}

func newTagsExportCmd(s streams) *cobra.Command {
	o := &tagsExportOptions{}
	cmd := &cobra.Command{
		Use:   "export REPOSITORY",
		Short: "Print the tags of a repository as an image tags file",
		Long: `export prints an image tags file with the digest of each tag of a repository.
With --fold-aliases, tags of one digest become aliases of the most specific tag:
latest, 3, 3.0 and 3.0.1-rc.2 become aliases of 3.0.1.`,
		Example: "  cip tags export registry.example.com/app --fold-aliases > app.json",
		Args:    countArgs(1, 1),
		RunE:    o.withLog(s, o.run),
	}
	f := cmd.Flags()
	f.BoolVar(&o.fold, "fold-aliases", false, "turn tags with the same digest into aliases")
	o.registryOptions.addFlags(f)
	return cmd
}

// run carries out cip tags export.
func (o *tagsExportOptions) run(ctx context.Context, s *session, args []string) error {
	repo, err := image.ParseRepository(args[0])
	if err != nil {
		return err
	}
	client, err := o.client(s, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	tags, missing, err := resolve.ExportImageTags(ctx, lookup.NewRegistry(client), repo, o.fold)
	if err != nil {
		return err
	}
	for _, tag := range missing {
		s.log.Warnf("left out: %s is in the list of tags and does not exist", repo.Tag(tag))
	}
	if len(tags.Labels) == 0 {
		s.log.Warnf("%s has no tags", repo)
	}
	return tags.Write(s.out)
}
