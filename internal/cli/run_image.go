package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
)

// runImageSource says where the names of run images are looked for.
type runImageSource struct {
	files   []string
	mirrors []string
	order   string
}

func (o *runImageSource) addFlags(f *pflag.FlagSet) {
	f.StringSliceVarP(&o.files, "file", "f", nil, "stack.toml, run.toml, builder.toml, mirrors.toml or pack's config.toml `files` that name run images")
	f.StringSliceVar(&o.mirrors, "local-mirror", nil, "`images` that mirror the run image")
	f.StringVar(&o.order, "order", "pack", "which names go first on equal terms: local mirrors (pack) or the image itself (spec)")
}

// read returns what the files say, and the order of names.
func (o *runImageSource) read() ([]rebase.File, rebase.Order, error) {
	orders := map[string]rebase.Order{"": rebase.PackOrder, "pack": rebase.PackOrder, "spec": rebase.SpecOrder}
	order, ok := orders[o.order]
	if !ok {
		return nil, 0, fmt.Errorf("bad --order %q: want pack or spec", o.order)
	}
	files := make([]rebase.File, len(o.files))
	var faults []error
	for i, name := range o.files {
		data, err := readFile(name, maxFile)
		if err != nil {
			faults = append(faults, fmt.Errorf("reading run images: %w", err))
			continue
		}
		if files[i], err = rebase.ParseFile(name, data); err != nil {
			faults = append(faults, err)
		}
	}
	return files, order, errors.Join(faults...)
}

// runImageOptions are the flags of cip run-image.
type runImageOptions struct {
	runImageSource
	registryOptions
	logOptions
	app     string
	verbose bool
}

func newRunImageCmd(s streams) *cobra.Command {
	o := &runImageOptions{}
	cmd := &cobra.Command{
		Use:   "run-image --for IMAGE",
		Short: "Choose the run image for an app among its mirrors",
		Long: `run-image prints the name of the run image that IMAGE is best put on: the first that
can be read, those on IMAGE's own registry before the others, because their layers
can be mounted there. The names are those in the files, else in the labels of
IMAGE, which then has to be an app or a builder that buildpacks made. What does not
exist is not readable. If none is, every name is told, and why.`,
		Example: `  cip run-image --for registry.example.com/shop/web:1.4
  cip run-image --for registry.example.com/shop/web -f run.toml --local-mirror registry.example.com/base/run -v`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRunImage(cmd.Context(), o, s) },
	}
	f := cmd.Flags()
	f.StringVar(&o.app, "for", "", "the app's `image`, which need not exist if files name the run image")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say on stderr why each name was chosen or not")
	o.runImageSource.addFlags(f)
	o.registryOptions.addFlags(f)
	o.logOptions.addFlags(f)
	return cmd
}

// runRunImage carries out cip run-image.
func runRunImage(ctx context.Context, o *runImageOptions, s streams) error {
	log, _, err := o.logger(s)
	if err != nil {
		return err
	}
	if o.app == "" {
		return errors.New("--for IMAGE is required")
	}
	app, err := rebase.ParseReference(o.app)
	if err != nil {
		return err
	}
	files, order, err := o.read()
	if err != nil {
		return err
	}
	client, err := o.client(s, nil, log)
	if err != nil {
		return err
	}
	defer client.Close()
	names, err := rebase.Choose(files, rebase.Names{})
	if err == nil && names.Image == "" {
		names, err = rebase.NewReader(client).Names(ctx, app)
	}
	if err != nil {
		return err
	}
	all := rebase.Candidates(app.RegistryStr(), names, append(rebase.LocalMirrors(files, names), o.mirrors...), order)
	_, err = rebase.Pick(ctx, client, all)
	if o.verbose {
		tellCandidates(s.err, all)
	}
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Chosen {
			fmt.Fprintln(s.out, output.Escape(c.Name))
		}
	}
	return nil
}

// tellCandidates says what became of each name of a run image.
func tellCandidates(w io.Writer, all []rebase.Candidate) {
	for _, c := range all {
		where, why := "on another registry", "not looked at: an earlier one can be read"
		if c.SameHost {
			where = "on the app's registry"
		}
		switch {
		case c.Chosen:
			why = "chosen: the first that can be read"
		case c.Rejected != "":
			why = "rejected: " + c.Rejected
		}
		fmt.Fprintf(w, "%s (%s, %s): %s\n", output.Escape(c.Name), c.Origin, where, output.Escape(why))
	}
}
