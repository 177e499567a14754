package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/tree"
)

// resolvedAtOnce is the maximum number of selectors that are resolved at a time.
const resolvedAtOnce = 8

// selectorOptions say which selectors to resolve, and how.
type selectorOptions struct {
	manifestOptions
	registryOptions
	logOptions
	only          []string
	refresh       bool
	allowRollback bool
}

func (o *selectorOptions) addFlags(f *pflag.FlagSet) {
	o.manifestOptions.addFlags(f)
	f.BoolVar(&o.refresh, "refresh", false, "read the digests of tags again though the lock has them")
	f.BoolVar(&o.allowRollback, "allow-rollback", false, "take results that are older than the lock's")
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
	o.logOptions.addFlags(f)
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
		Annotations: exits(""),
		Short:       "Find the digests that selectors choose, and write them to images.yaml",
		Long: `resolve reads the selectors in sources.yaml (or sources: in a plain manifest). It reads
the source registry and git repositories, and prints the changes of the images list
and of the lock as a diff. With --write it changes these files. It never writes to a
registry. With --check it sends no requests, and checks that selectors, lock and list
agree, which is for pull requests. If a selector fails, the others are still resolved.`,
		Example: `  cip resolve --thin-manifest-dir=manifests/selectors --check
  cip resolve --manifest=promote.yaml --write --only=flux`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runResolve(cmd.Context(), o, s) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.write, "write", false, "write the changes to the files")
	f.BoolVar(&o.check, "check", false, "check offline that selectors, lock and list agree")
	f.StringSliceVar(&o.only, "only", nil, "resolve or check only the selectors with these `names`")
	f.StringVarP(&o.output, "output", "o", "", "output format: text (default), a diff, or json, the selectors and their results")
	o.selectorOptions.addFlags(f)
	return cmd
}

// resolution resolves the selectors of manifests.
type resolution struct {
	*selectorOptions
	streams
	log      *logrus.Logger
	progress *output.Progress
	set      *manifest.Set
	files    []*selector.File
	root     string // of the file names in files
	tree     *tree.Tree
}

// newResolution loads what is to be resolved. Faults are logged; a broken file ends it. The caller must close r.tree.
func newResolution(ctx context.Context, o *selectorOptions, s streams) (*resolution, error) {
	r := &resolution{selectorOptions: o, streams: s}
	var err error
	if r.log, r.progress, err = o.logger(s); err != nil {
		return nil, err
	}
	err = offline(ctx, func() (err error) {
		r.set, r.files, r.root, err = o.loadAll()
		return err
	})
	if err != nil {
		return nil, err
	}
	r.tree = tree.Open(r.root)
	logFaults(r.log, r.set.Faults)
	if r.set.Broken() {
		return nil, &exitError{code: exitFailed}
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(r.files, func(p *selector.File) bool { return slices.ContainsFunc(p.Entries, named(name)) }) {
			return nil, fmt.Errorf("there is no selector %q in %s", name, o.path())
		}
	}
	if !slices.ContainsFunc(r.files, func(p *selector.File) bool { return len(p.Entries) > 0 }) {
		r.log.Infof("there are no selectors in %s", o.path())
	}
	return r, nil
}

// named returns a predicate of selectors with a name, their own or that of their image.
func named(name string) func(*selector.Selector) bool {
	return func(p *selector.Selector) bool { return p.Name == name || p.ImageName() == name }
}

// at returns where a file of the manifests is.
func (r *resolution) at(name string) string { return filepath.Join(r.root, filepath.FromSlash(name)) }

// resolved is the outcome of one file of selectors.
type resolved struct {
	file    *selector.File
	results []resolve.Result
	changes []change
}

// change is a file before and after.
type change struct {
	name          string // in the tree of the manifests
	before, after []byte
}

// rebaseFunc computes the digest of a selected app on its new run image.
type rebaseFunc = func(context.Context, *selector.Selector, v1.Hash) (v1.Hash, *selector.LockRebase, error)

// resolve resolves the selectors for which wanted returns true.
func (r *resolution) resolve(ctx context.Context, client *registry.Client, wanted func(*selector.Selector) bool, rebase rebaseFunc) []*resolved {
	source, git := lookup.NewRegistry(client), lookup.NewHistories()
	var all []*resolved
	g := &errgroup.Group{}
	g.SetLimit(resolvedAtOnce)
	total := 0
	for _, file := range r.files {
		total += len(file.Entries)
	}
	r.progress.Start("resolving", total)
	for _, file := range r.files {
		done := &resolved{file: file, results: make([]resolve.Result, len(file.Entries))}
		all = append(all, done)
		readers := resolve.Readers{
			Registry: source, ReadFile: r.reader(file), History: git.In(r.at(path.Dir(file.Name))), Rebase: rebase,
		}
		for i, p := range file.Entries {
			done.results[i].Selector = p
			if !wanted(p) {
				continue
			}
			g.Go(func() error {
				defer r.progress.Step()
				options := resolve.Options{Refresh: r.refresh, AllowRollback: r.allowRollback}
				done.results[i].Choice, done.results[i].Err = resolve.Resolve(ctx, p, file.Find(p), readers, options)
				return nil
			})
		}
	}
	_ = g.Wait()
	r.progress.Finish()
	return all
}

// asked reports whether the user asked for a selector, by name or by naming none.
func (r *resolution) asked(p *selector.Selector) bool {
	return len(r.only) == 0 || slices.ContainsFunc(r.only, func(name string) bool { return named(name)(p) })
}

// all resolves what the user named: rebased images only if staging holds them.
func (r *resolution) all(ctx context.Context) ([]*resolved, error) {
	client, err := r.client(r.streams, plan.SitesOf(r.set), r.log)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all := r.resolve(ctx, client, r.asked, lookup.NewRebaser(client).Pin)
	if ctx.Err() != nil {
		return nil, &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	}
	return all, nil
}

// reader returns a reader of files that are named relative to one of the manifests. Links
// in the tree of the manifests stay within it; a file elsewhere has to be named as such.
func (r *resolution) reader(file *selector.File) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		in, at := r.tree, path.Join(path.Dir(file.Name), filepath.ToSlash(name))
		if filepath.IsAbs(name) || !fs.ValidPath(at) {
			if !filepath.IsAbs(name) {
				name = r.at(at)
			}
			in, at = tree.Open(filepath.Dir(name)), filepath.Base(name)
			defer in.Close()
		}
		return readIn(in, at)
	}
}

// amend works out what choices change in the files.
func (r *resolution) amend(done *resolved) error {
	var list change
	var text *manifest.ImagesText
	if done.file.Images != "" {
		list.name = done.file.Images
		var err error
		if list.before, err = readIn(r.tree, list.name); err != nil {
			return fmt.Errorf("reading %s: %w", r.at(list.name), cause(err))
		}
		text = manifest.NewImagesText(list.before, done.file.Images != done.file.Name)
	}
	lock := change{name: done.file.Lock}
	locks := resolve.Amend(done.file, done.results, text)
	var err error
	if lock.before, err = readIn(r.tree, lock.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", r.at(lock.name), cause(err))
	}
	if len(locks) > 0 || lock.before != nil {
		if lock.after, err = selector.EncodeLocks(locks); err != nil {
			return fmt.Errorf("encoding %s: %w", r.at(lock.name), err)
		}
	}
	if text != nil {
		list.after = text.Bytes()
	}
	for _, c := range []change{list, lock} {
		if !bytes.Equal(c.before, c.after) {
			done.changes = append(done.changes, c)
		}
	}
	return nil
}

// runResolve carries out cip resolve.
func runResolve(ctx context.Context, o *resolveOptions, s streams) error {
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
	defer r.tree.Close()
	if o.check {
		return offline(ctx, r.check)
	}
	all, err := r.all(ctx)
	if err != nil {
		return err
	}
	for _, done := range all {
		if len(r.only) > 0 && !slices.ContainsFunc(done.file.Entries, r.asked) {
			continue // for example a lock file without selectors
		}
		if err := r.amend(done); err != nil {
			return err
		}
	}
	if err := r.show(all, format); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	if o.write {
		if err := r.write(all); err != nil {
			return err
		}
	}
	return r.verdict(all)
}

// write writes what has changed, lists before locks: a lock never speaks of what is not in the list.
func (r *resolution) write(all []*resolved) error {
	for _, done := range all {
		for _, c := range done.changes {
			if err := r.tree.Replace(c.name, c.after); err != nil {
				return fmt.Errorf("writing %s: %w", r.at(c.name), cause(err))
			}
			r.log.Infof("wrote %s", r.at(c.name))
		}
	}
	return nil
}

// show prints the product, and tells what failed.
func (r *resolution) show(all []*resolved, format output.Format) error {
	found := []output.ResolvedSource{}
	for _, done := range all {
		for i := range done.results {
			result := &done.results[i]
			if result.Err != nil {
				r.log.WithField("place", result.Selector.Pos.String()).
					Errorf("%s: resolving %s: %v", result.Selector.Pos, result.Selector.Name, result.Err)
			}
			if result.Choice != nil || result.Err != nil {
				found = append(found, describeResult(done.file, result))
			}
		}
	}
	if format == output.JSON {
		return output.WriteJSON(r.out, found)
	}
	for i := range found {
		for _, note := range found[i].Notes {
			r.log.Infof("%s: %s", found[i].Name, note)
		}
	}
	for _, done := range all {
		for _, c := range done.changes {
			name := filepath.ToSlash(r.at(c.name))
			from := name
			if c.before == nil {
				from = "/dev/null"
			}
			if _, err := r.out.Write(output.EscapeLines(diff.Diff(from, c.before, name, c.after))); err != nil {
				return err
			}
		}
	}
	return nil
}

func describeResult(file *selector.File, result *resolve.Result) output.ResolvedSource {
	p := result.Selector
	d := output.ResolvedSource{File: p.Pos.File, Line: p.Pos.Line, Name: p.Name, Tags: []string{}}
	if result.Choice != nil {
		d.Notes = result.Choice.Notes
	}
	previous := file.Find(p)
	if previous != nil {
		d.Was = previous.Digest
	}
	if result.Err != nil {
		d.Error = result.Err.Error()
		return d
	}
	d.Tag, d.Digest, d.Tags = result.Lock.Tag, result.Lock.Digest, result.Lock.Tags
	d.Changed = previous != result.Lock
	return d
}

// verdict sums up, and returns the exit code.
func (r *resolution) verdict(all []*resolved) error {
	changed, failed, same := 0, 0, 0
	for _, done := range all {
		for i := range done.results {
			switch result := &done.results[i]; {
			case result.Err != nil:
				failed++
			case result.Choice == nil:
			case result.Lock != done.file.Find(result.Selector):
				changed++
			default:
				same++
			}
		}
	}
	r.log.Infof("%d changed, %d unchanged, %d failed", changed, same, failed)
	if failed > 0 || !r.set.OK() {
		return &exitError{code: exitFailed}
	}
	return nil
}
