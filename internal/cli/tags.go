package cli

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

func newTagsCmd(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tags",
		Short: "Resolve, list, export and verify image tags files",
		Long: `tags works with image tags files (appc): JSON files that say, for one image name,
which tag is an alias of which, and which labels the image behind a tag has.
Nothing is written to a registry.`,
		Example: `  cip tags resolve registry.example.com/app:latest,os=linux,arch=amd64 --image-tags=app.json
  cip tags verify --image-tags=app.json registry.example.com/app`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newTagsResolveCmd(s), newTagsListCmd(s), newTagsExportCmd(s), newTagsVerifyCmd(s))
	return cmd
}

// imageTagsOptions say which image tags to read.
type imageTagsOptions struct{ file string }

func (o *imageTagsOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "image-tags", "", "image tags `file` (JSON)")
}

// load reads the image tags: nil if no file was named.
func (o *imageTagsOptions) load(log logrus.FieldLogger) (*resolve.ImageTags, error) {
	if o.file == "" {
		return nil, nil
	}
	raw, err := load.File(o.file, resolve.MaxImageTags)
	if err != nil {
		return nil, fmt.Errorf("reading image tags: %w", err)
	}
	tags, faults := resolve.ParseImageTags(o.file, raw)
	logFaults(log, faults)
	if tags == nil {
		return nil, &exitError{code: exitFailed}
	}
	return tags, nil
}

// required reads the image tags. It is an error if no file is named.
func (o *imageTagsOptions) required(log logrus.FieldLogger) (*resolve.ImageTags, error) {
	if o.file == "" {
		return nil, errors.New("--image-tags is required")
	}
	return o.load(log)
}
