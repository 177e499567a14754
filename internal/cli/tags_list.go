package cli

import (
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
		RunE:    func(*cobra.Command, []string) error { return runTagsList(o, s) },
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text or json (default text)")
	o.logOptions.addFlags(f)
	return cmd
}

// runTagsList carries out cip tags list.
func runTagsList(o *tagsListOptions, s streams) error {
	log, _, err := o.logger(s)
	if err != nil {
		return err
	}
	format, err := output.TextOrJSON(o.output, "list of tags")
	if err != nil {
		return err
	}
	tags, err := o.load(log, true)
	if err != nil {
		return err
	}
	return output.WriteTags(s.out, output.ListTags(tags), format)
}
