package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/add"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// additionOptions are the flags that say what to add to manifests.
type additionOptions struct {
	manifestOptions
	registryOptions
	tags, images, digests []string
	filter, snapshot      string
	all                   bool
}

func (o *additionOptions) addFlags(f *pflag.FlagSet) {
	o.manifestOptions.addFlags(f)
	f.StringSliceVar(&o.tags, "tag", nil, "add these `tags` of each IMAGE; may be repeated")
	f.StringVar(&o.filter, "filter-tag", "", "add the tags of each IMAGE that match this regular `expression`")
	f.BoolVar(&o.all, "all", false, "add every image of the registry at or below IMAGE")
	f.StringSliceVar(&o.images, "image", nil, "add only the images with these `names` below IMAGE; may be repeated")
	f.StringSliceVar(&o.digests, "digest", nil, "add only these `digests`, with all their tags if no others are named")
	f.StringVar(&o.snapshot, "from-snapshot", "", "take images from this `file` of cip snapshot (- for standard input) instead of the registry")
	o.registryOptions.addFlags(f)
	o.addAccountFlags(f)
}

// request returns what the flags and arguments say.
func (o *additionOptions) request(args []string) (add.Request, error) {
	r := add.Request{Images: args, Tags: o.tags, All: o.all, Below: o.images}
	for _, tag := range o.tags {
		if err := image.CheckTag(tag); err != nil {
			return r, fmt.Errorf("reading --tag: %w", err)
		}
	}
	for _, text := range o.digests {
		d, err := image.ParseDigest(text)
		if err != nil {
			return r, fmt.Errorf("reading --digest: %w", err)
		}
		r.Digests = append(r.Digests, d)
	}
	var err error
	if o.filter != "" {
		if r.Filter, err = regexp.Compile(o.filter); err != nil {
			return r, fmt.Errorf("reading --filter-tag: %w", err)
		}
	}
	if o.snapshot != "" {
		r.Snapshot, err = readSnapshot(o.snapshot)
	}
	return r, err
}

// addOptions are the flags of cip add.
type addOptions struct {
	additionOptions
	write  bool
	output string
}

func newAddCmd(s streams) *cobra.Command {
	o := &addOptions{}
	cmd := &cobra.Command{
		Use:         "add IMAGE[:TAG][@DIGEST]...",
		Annotations: exits(),
		Short:       "Add images of the source registry to the manifests",
		Long: `add reads the digests of tags from the source registry and writes them into the
list of images that they belong to. It prints the change as a diff; --write makes
it. Comments, order and formatting of the file stay, new lines look like their
neighbours, and no tag is removed. A tag that another digest of the list has is
refused, or moves if every destination has it in mutable-tags. An index is added
without its platforms, which are promoted with it. If anything cannot be read or
added, nothing is.

IMAGE is a name in a list of images; or TEAM/NAME, where TEAM is the directory
of a thin manifest; or the full name, HOST/PATH, in the source registry. The last
two may name an image that is not in the list yet. With --all or --image, IMAGE
is the registry, the team or the image at or below which images are added.

The tag latest, and the tags of signatures, are added only where they are named.`,
		Example: `  cip add cluster-autoscaler:v1.34.1 --thin-manifest-dir=manifests --write
  cip add gcr.io/k8s-staging-kubernetes --all --tag=v1.34.1 --thin-manifest-dir=manifests
  cip add k8s-staging-build-image --image=setcap,kube-cross --filter-tag='^v1\.34\.' --thin-manifest-dir=manifests
  cip snapshot localhost:5000/staging | cip add --from-snapshot=- --manifest=promote.yaml`,
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	o.additionOptions.addFlags(f)
	f.BoolVar(&o.write, "write", false, "write the change into the files")
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text (a diff) or json (what is added) (default text)")
	return cmd
}

// run carries out cip add.
func (o *addOptions) run(ctx context.Context, s *session, args []string) error {
	format, err := output.TextOrJSON(o.output, "list of images")
	if err != nil {
		return err
	}
	at, err := o.location()
	if err != nil {
		return err
	}
	request, err := o.request(args)
	if err != nil {
		return err
	}
	files, name := at.Open()
	defer files.Close()
	changes, err := o.compute(ctx, add.Files{FS: files, Name: name, Display: at.Path()}, request, s)
	if err != nil {
		return err
	}
	path := func(name string) string { return filepath.ToSlash(filepath.Join(at.Root(), filepath.FromSlash(name))) }
	if err := showAdded(s.streams, changes, format, path); err != nil {
		return err
	}
	return o.finish(at, changes, s.log, path)
}

// compute returns the changes that a request makes to manifests. It logs errors.
func (o *additionOptions) compute(ctx context.Context, files add.Files, request add.Request, s *session) ([]add.Change, error) {
	var manifests *add.Manifests
	err := offline(ctx, func() (err error) {
		manifests, err = add.Load(files)
		return err
	})
	if broken, ok := errors.AsType[*add.BrokenError](err); ok {
		s.logFaults(broken.Faults)
		return nil, failIf(true)
	}
	if err != nil {
		return nil, err
	}
	client, err := o.client(s, registry.EntriesOf(manifests.Set))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	s.progress.Start("reading", 0)
	changes, err := manifests.Compute(ctx, request, lookup.NewSource(client, s.warn, s.progress.Step))
	s.progress.Finish()
	switch {
	case err == nil:
		return changes, nil
	case ctx.Err() != nil:
		return nil, errInterrupted
	}
	for _, e := range each(err) {
		s.log.Error(e)
	}
	return nil, failIf(true)
}

// each returns the errors that an error joins, or itself.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}

// showAdded prints changes.
func showAdded(s streams, changes []add.Change, format output.Format, path func(string) string) error {
	if format == output.JSON {
		return output.WriteJSON(s.out, output.DescribeAdded(changes, path))
	}
	for _, c := range changes {
		if err := output.WriteFileDiff(s.out, path(c.Path), c.Old, c.New, s.color()); err != nil {
			return err
		}
	}
	return nil
}

// finish writes the changes if that is asked for, and logs their number.
func (o *addOptions) finish(at load.Manifests, changes []add.Change, log *logrus.Logger, path func(string) string) error {
	if len(changes) == 0 {
		log.Info("nothing to add: the manifests have everything already")
		return nil
	}
	var all []load.Replacement
	digests, tags := 0, 0
	for _, c := range changes {
		all = append(all, load.Replacement{Name: c.Path, Old: c.Old, New: c.New})
		for _, a := range c.Added {
			digests++
			tags += len(a.Tags)
			for _, m := range a.Moved {
				log.Infof("tag %s of %s moves from %s to %s", m.Tag, a.Image, m.From, m.To)
			}
		}
	}
	what := output.Plural(digests, "digest")
	if tags > 0 {
		what = output.Plural(tags, "tag") + " of " + what
	}
	if !o.write {
		log.Infof("%s to add; --write writes the change into the files", what)
		return nil
	}
	if err := at.Replace(all); err != nil {
		return err
	}
	for _, r := range all {
		log.Infof("wrote %s", path(r.Name))
	}
	log.Infof("%s added", what)
	return nil
}
