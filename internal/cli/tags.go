package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

func newTagsCmd(s streams) *cobra.Command {
	return newGroupCmd(&cobra.Command{
		Use:   "tags",
		Short: "Resolve, list, export and verify image tags files",
		Long: `tags works with image tags files (appc): JSON files with the tags of one image
name. A tag is an alias of another tag, or has the labels of its image. Nothing
is written to a registry.`,
		Example: `  cip tags resolve registry.example.com/app:latest,os=linux,arch=amd64 --image-tags=app.json
  cip tags verify --image-tags=app.json registry.example.com/app`,
	}, newTagsResolveCmd(s), newTagsListCmd(s), newTagsExportCmd(s), newTagsVerifyCmd(s))
}

// imageTagsOptions are the flags that name an image tags file.
type imageTagsOptions struct{ file string }

func (o *imageTagsOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "image-tags", "", "image tags `file` (JSON)")
}

// load reads the image tags. Without a file they are nil, or it is an error if they are required.
func (o *imageTagsOptions) load(s *session, required bool) (*imagetags.File, error) {
	switch {
	case o.file == "" && required:
		return nil, errors.New("--image-tags is required")
	case o.file == "":
		return nil, nil
	}
	raw, err := load.File(o.file, imagetags.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("reading image tags: %w", err)
	}
	tags, faults := imagetags.Parse(o.file, raw)
	s.logFaults(faults)
	if tags == nil {
		return nil, &exitError{code: exitFailed}
	}
	return tags, nil
}
