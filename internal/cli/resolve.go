package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// selectorOptions are the flags of commands that resolve selectors.
type selectorOptions struct {
	manifestOptions
	registryOptions
	only          []string
	refresh       bool
	allowRollback bool
}

func (o *selectorOptions) addFlags(f *pflag.FlagSet) {
	o.manifestOptions.addFlags(f)
	f.BoolVar(&o.refresh, "refresh", false, "read the digests of tags again, even if the lock has them")
	f.BoolVar(&o.allowRollback, "allow-rollback", false, "accept results that are older than those in the lock")
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
}

// resolveOptions are the flags of cip resolve.
type resolveOptions struct {
	selectorOptions
	write, check bool
	output       string
}

func newResolveCmd(s streams) *cobra.Command {
	o := &resolveOptions{}
	cmd := &cobra.Command{
		Use:         "resolve",
		Annotations: exits(),
		Short:       "Run the selectors in sources.yaml and update images.yaml",
		Long: `resolve runs the selectors in sources.yaml (or under sources: in a plain
manifest). It looks up tags and commits in the source registry and in git
repositories, and prints the resulting change of the list of images and of the
lock as a diff. --write writes the change into the files. resolve never writes
to a registry. --check sends no request and reports whether selectors, lock and
list agree; use it in pull requests. A selector that fails does not stop the
others.`,
		Example: `  cip resolve --thin-manifest-dir=manifests/producers --check
  cip resolve --manifest=promote.yaml --write --only=flux`,
		Args: noArgs,
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	f.BoolVar(&o.write, "write", false, "write the change into the files")
	f.BoolVar(&o.check, "check", false, "report whether selectors, lock and list agree, offline")
	f.StringSliceVar(&o.only, "only", nil, "resolve or check only the selectors with these `names`")
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text (a diff) or json (selectors and results) (default text)")
	o.selectorOptions.addFlags(f)
	return cmd
}

// resolution is one run of the selectors of manifests.
type resolution struct {
	*selectorOptions
	*lookup.Selectors
	*session
}

// newResolution loads manifests and selectors and logs their faults. The caller must Close it.
func newResolution(ctx context.Context, o *selectorOptions, s *session) (*resolution, error) {
	r := &resolution{selectorOptions: o, session: s}
	at, err := o.location()
	if err != nil {
		return nil, err
	}
	return r, r.load(ctx, func() (*lookup.Selectors, error) { return lookup.OpenSelectors(at, o.only, true), nil })
}

// load opens the selectors and logs the faults of the manifests. The caller must Close
// them, unless there is an error.
func (r *resolution) load(ctx context.Context, open func() (*lookup.Selectors, error)) error {
	err := offline(ctx, func() (err error) {
		r.Selectors, err = open()
		return err
	})
	if err != nil {
		return err
	}
	r.logFaults(r.Set.Faults)
	if r.Set.Broken() {
		return errors.Join(&exitError{code: exitFailed}, r.Close())
	}
	if name := r.Unknown(); name != "" {
		return errors.Join(fmt.Errorf("there is no selector %q in %s: %s", name, r.path(), listNames(r.Names())), r.Close())
	}
	if r.Len() == 0 {
		r.log.Infof("there are no selectors in %s", r.path())
	}
	return nil
}

// listNames returns the names that there are, for errors.
func listNames(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "it has no selectors"
	}
	return "it has " + image.FirstNames(names, most)
}

// run resolves the named selectors that wanted accepts.
func (r *resolution) run(ctx context.Context, client *registry.Client, wanted func(*selector.Selector) bool, rebase lookup.RebaseFunc) []*lookup.Resolved {
	r.progress.Start("resolving", r.Len())
	defer r.progress.Finish()
	options := resolve.Options{Refresh: r.refresh, AllowRollback: r.allowRollback}
	return r.Resolve(ctx, client, options, wanted, rebase, r.progress.Step)
}

// all resolves all named selectors. A rebased image is accepted only if the source registry has it.
func (r *resolution) all(ctx context.Context) ([]*lookup.Resolved, error) {
	client, err := r.client(r.session, registry.EntriesOf(r.Set))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all := r.run(ctx, client, func(*selector.Selector) bool { return true }, lookup.NewRebaser(client).Pin)
	if ctx.Err() != nil {
		return nil, errInterrupted
	}
	return all, nil
}

// run carries out cip resolve.
func (o *resolveOptions) run(ctx context.Context, s *session, _ []string) error {
	if o.write && o.check {
		return errors.New("--write and --check exclude each other")
	}
	format, err := output.TextOrJSON(o.output, "resolution")
	if err != nil {
		return err
	}
	r, err := newResolution(ctx, &o.selectorOptions, s)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.check {
		return offline(ctx, r.check)
	}
	all, err := r.all(ctx)
	if err != nil {
		return err
	}
	if err := r.Amend(all); err != nil {
		return err
	}
	if err := r.show(all, format); err != nil {
		return err
	}
	if o.write {
		if err := r.Write(all, func(path string) { r.log.Infof("wrote %s", path) }); err != nil {
			return err
		}
	}
	return r.exit(all)
}

// check logs disagreements between selectors, locks and lists.
func (r *resolution) check() error {
	stale, err := r.Stale()
	if err != nil {
		return err
	}
	r.logFaults(stale)
	return failIf(len(stale) > 0 || !r.Set.OK())
}

// show prints the diff, or the results as JSON, and logs errors.
func (r *resolution) show(all []*lookup.Resolved, format output.Format) error {
	found := r.describe(all)
	if format == output.JSON {
		return output.WriteJSON(r.out, found)
	}
	for i := range found {
		for _, note := range found[i].Notes {
			r.log.Infof("%s: %s", found[i].Name, note)
		}
	}
	return r.WriteDiff(r.out, all, r.color())
}

// describe returns the results for people, and logs errors.
func (r *resolution) describe(all []*lookup.Resolved) []output.ResolvedSelector {
	found := []output.ResolvedSelector{}
	for _, file := range all {
		for _, result := range file.Ran() {
			if pos := result.Selector.Pos; result.Err != nil {
				r.log.WithField("place", pos.String()).Errorf("%s: resolving %s: %v", pos, result.Selector.Name, result.Err)
			}
			found = append(found, output.DescribeResult(file.File, result))
		}
	}
	return found
}

// exit logs counts of results and returns the exit code.
func (r *resolution) exit(all []*lookup.Resolved) error {
	changed, same, failed := lookup.Count(all)
	r.log.Infof("%d changed, %d unchanged, %d failed", changed, same, failed)
	return failIf(failed > 0 || !r.Set.OK())
}
