package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
)

// runImageNames are the flags that name run images.
type runImageNames struct {
	files   []string
	mirrors []string
	order   string
}

func (o *runImageNames) addFlags(f *pflag.FlagSet) {
	f.StringSliceVarP(&o.files, "file", "f", nil, "`files` that name run images: stack.toml, run.toml, builder.toml, mirrors.toml or pack's config.toml")
	f.StringSliceVar(&o.mirrors, "local-mirror", nil, "mirror `images` of the run image")
	f.StringVar(&o.order, "order", "pack", "`names` that come first otherwise: local mirrors (pack) or the image itself (spec)")
}

// read reads the files and the order of names.
func (o *runImageNames) read() ([]rebase.File, rebase.Order, error) {
	orders := map[string]rebase.Order{"": rebase.PackOrder, "pack": rebase.PackOrder, "spec": rebase.SpecOrder}
	order, ok := orders[o.order]
	if !ok {
		return nil, 0, fmt.Errorf("bad --order %q: want pack or spec", o.order)
	}
	files, err := lookup.RunImages(o.files)
	return files, order, err
}

// runImageOptions are the flags of cip run-image.
type runImageOptions struct {
	runImageNames
	registryOptions
	app     string
	verbose bool
	strict  bool
}

func newRunImageCmd(s streams) *cobra.Command {
	o := &runImageOptions{}
	cmd := &cobra.Command{
		Use:   "run-image --for IMAGE",
		Short: "Choose the run image of an app among its mirrors",
		Long: `run-image prints the best run image for IMAGE: the first one that can be read.
Names on the registry of IMAGE come first, because their layers can be mounted
there. The names are read from the files or, without files, from the labels of
IMAGE, which must then be an app or a builder made by buildpacks. If no run
image can be read, all names are printed with the reason. Names that can be read
and lead to other images than the printed one are a warning, and with
--strict-mirrors an error.`,
		Example: `  cip run-image --for registry.example.com/shop/web:1.4
  cip run-image --for registry.example.com/shop/web -f run.toml --local-mirror registry.example.com/base/run -v`,
		Args: noArgs,
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	f.StringVar(&o.app, "for", "", "the app `image`; it need not exist if files name the run image")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print to stderr why each name was chosen or not")
	f.BoolVar(&o.strict, "strict-mirrors", false, "fail if names that can be read lead to different images")
	o.runImageNames.addFlags(f)
	o.registryOptions.addFlags(f)
	return cmd
}

// run carries out cip run-image.
func (o *runImageOptions) run(ctx context.Context, s *session, _ []string) error {
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
	client, err := o.client(s, nil)
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
	all := rebase.Candidates(app.RegistryStr(), names, rebase.LocalMirrors(o.mirrors, files, names), order)
	best, err := rebase.Pick(ctx, client, all)
	if err == nil {
		err = o.compare(s.log, best, rebase.Compare(ctx, client, all))
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if o.verbose {
		output.WriteRunImages(s.err, all)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, output.Escape(best.Name))
	return err
}

// compare reports candidates that lead to another image than the chosen one: as
// warnings, or with --strict-mirrors as an error.
func (o *runImageOptions) compare(log *logrus.Logger, best *rebase.Candidate, differ []rebase.Candidate) error {
	var errs []error
	for _, c := range differ {
		err := fmt.Errorf("%s %s is %s, but %s is %s", c.Origin, c.Name, c.Held, best.Name, best.Held)
		if errs = append(errs, err); !o.strict {
			log.Warn(err)
		}
	}
	if o.strict {
		return errors.Join(errs...)
	}
	return nil
}
