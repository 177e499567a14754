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
		Short: "Print the tags of an image tags file, with their aliases and labels",
		Long: `list prints every tag of an image tags file: the way over its aliases, and the labels
at the end. No request is sent. What is wrong with a tag stands in place of its
labels; cip tags verify fails on it.`,
		Example: "  cip tags list --image-tags=app.json\n  cip tags list --image-tags=app.json --output=json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runTagsList(o, s) },
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	f.StringVarP(&o.output, "output", "o", "", "form of the list: text or json (default text)")
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
	tags, err := o.required(log)
	if err != nil {
		return err
	}
	return output.WriteTags(s.out, output.ListTags(tags), format)
}
