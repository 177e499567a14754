package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/importer"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

// importOptions are the flags of cip import.
type importOptions struct {
	tool importer.Tool
	logOptions
	write        string
	destinations []string
	scoped       bool
	suffix       string
}

// importAbout are the texts about each tool in the help.
var importAbout = map[importer.Tool]string{
	importer.Regsync: "The file is the one that regsync reads with its flag for the configuration.",
	importer.Skopeo: `The file is the YAML source of skopeo sync. Its command line has the
destination: give it as --destination.`,
	importer.ImageSyncer: `The file is the list of images, or an older configuration, which has them below
the key images; YAML or JSON.`,
	importer.Dregsy: "The file is the one that dregsy reads with its flag for the configuration.",
}

func newImportCmd(s streams) *cobra.Command {
	var tools []*cobra.Command
	for _, tool := range importer.Tools() {
		tools = append(tools, newImportToolCmd(s, tool))
	}
	return newGroupCmd(&cobra.Command{
		Use:   "import",
		Short: "Convert the configuration of another tool into manifests",
		Long: `import converts the configuration of another tool that copies images into
manifests. It sends no request.`,
		Example: `  cip import regsync regsync.yaml > promote.yaml
  cip import skopeo sync.yaml --destination=registry.example.com/mirror`,
	}, tools...)
}

func newImportToolCmd(s streams, tool importer.Tool) *cobra.Command {
	o := &importOptions{tool: tool}
	example := fmt.Sprintf("  cip import %s config.yaml > promote.yaml\n  cip import %[1]s config.yaml --write=manifests", tool)
	if tool == importer.Skopeo {
		example = `  cip import skopeo sync.yaml --destination=registry.example.com/mirror > promote.yaml
  cip import skopeo sync.yaml --destination=registry.example.com --scoped --write=manifests`
	}
	cmd := &cobra.Command{
		Use:   tool.String() + " FILE",
		Short: "Convert a configuration of " + tool.String(),
		Long: tool.String() + ` prints the images that a configuration of ` + tool.String() + ` copies as plain manifests, one
YAML document for each source and its destinations. ` + importAbout[tool] + `

A tag becomes a retag entry, which promotes the image that the source has under
the tag. A digest becomes an entry of dmap. Each setting without an equivalent is
a warning. If images were left out, such as those of a pattern, or are promoted
differently, stderr names them with their lines, and the exit code is 1.`,
		Annotations: exits(),
		Example:     example,
		Args:        countArgs(1, 1),
		RunE:        o.withLog(s, o.run),
	}
	f := cmd.Flags()
	f.StringVar(&o.write, "write", "", "write thin manifests into this `directory` instead; no file is overwritten")
	switch tool {
	case importer.Skopeo:
		f.StringSliceVar(&o.destinations, "destination", nil, "`registries` to copy to, each with an optional path")
		f.BoolVar(&o.scoped, "scoped", false, "keep host and path of the source below the destination, as skopeo does")
		f.StringVar(&o.suffix, "append-suffix", "", "append this `text` to each tag in the destination, as skopeo does")
	case importer.ImageSyncer:
		f.StringSliceVar(&o.destinations, "destination", nil, "`registries` for images without a destination, each with an optional path")
	}
	o.logOptions.addFlags(f)
	return cmd
}

// run carries out cip import.
func (o *importOptions) run(_ context.Context, s *session, args []string) error {
	options := importer.Options{Scoped: o.scoped, AppendSuffix: o.suffix}
	for _, d := range o.destinations {
		registry, err := image.ParseRegistry(d)
		if err != nil {
			return fmt.Errorf("bad --destination: %w", err)
		}
		options.Destinations = append(options.Destinations, registry)
	}
	if o.tool == importer.Skopeo && len(options.Destinations) == 0 {
		return errors.New("--destination is required: the file of skopeo sync does not name it")
	}
	result := load.Import(o.tool, args[0], options)
	s.logFaults(result.Faults)
	if err := o.print(result.Manifests, s.streams); err != nil {
		return err
	}
	return failIf(!result.Complete())
}

// print prints manifests, or writes them and prints the names of the files.
func (o *importOptions) print(manifests []importer.Manifest, s streams) error {
	if o.write == "" || len(manifests) == 0 {
		return importer.Write(s.out, manifests)
	}
	files, err := importer.Thin(manifests)
	if err != nil {
		return err
	}
	if err := load.CreateFiles(o.write, files); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := fmt.Fprintln(s.out, filepath.Join(o.write, name)); err != nil {
			return err
		}
	}
	return nil
}
