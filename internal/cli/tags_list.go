package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// tagsListOptions are the flags of cip tags list.
type tagsListOptions struct {
	imageTagsOptions
	logOptions
	output string
}

func newTagsListCmd(s streams) *cobra.Command {
	o := &tagsListOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print the tags of an image tags file with aliases and labels",
		Long: `list prints every tag of an image tags file with its aliases and labels. No
request is sent. A tag without labels has an error instead; cip tags verify
fails on it.`,
		Example: "  cip tags list --image-tags=app.json\n  cip tags list --image-tags=app.json --output=json",
		Args:    noArgs,
		RunE:    o.withLog(s, o.run),
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text or json (default text)")
	o.logOptions.addFlags(f)
	return cmd
}

// run carries out cip tags list.
func (o *tagsListOptions) run(_ context.Context, s *session, _ []string) error {
	format, err := output.TextOrJSON(o.output, "list of tags")
	if err != nil {
		return err
	}
	tags, err := o.load(s, true)
	if err != nil {
		return err
	}
	return output.WriteTags(s.out, output.ListTags(tags), format)
}
