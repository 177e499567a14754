package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// tagsExportOptions are the flags of cip tags export.
type tagsExportOptions struct {
	registryOptions
	logOptions
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
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runTagsExport(cmd.Context(), o, s, args[0]) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.fold, "fold-aliases", false, "turn tags with the same digest into aliases")
	o.registryOptions.addFlags(f)
	o.logOptions.addFlags(f)
	return cmd
}

// runTagsExport carries out cip tags export.
func runTagsExport(ctx context.Context, o *tagsExportOptions, s streams, name string) error {
	log, _, err := o.logger(s)
	if err != nil {
		return err
	}
	repo, err := image.ParseRepository(name)
	if err != nil {
		return err
	}
	client, err := o.client(s, nil, log)
	if err != nil {
		return err
	}
	defer client.Close()
	tags, missing, err := resolve.ExportImageTags(ctx, lookup.NewRegistry(client), repo, o.fold)
	if err != nil {
		return err
	}
	for _, tag := range missing {
		log.Warn(fmt.Sprintf("left out: %s is in the list of tags and does not exist", repo.Tag(tag).String()))
	}
	if len(tags.Labels) == 0 {
		log.Warn(fmt.Sprintf("%s has no tags", repo))
	}
	return tags.Write(s.out)
}
