package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// snapshotFilter are the flags for a part of a snapshot.
type snapshotFilter struct {
	minimal bool
	tag     string
}

func (o *snapshotFilter) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.minimal, "minimal-snapshot", false, "leave out tagless children of image indexes")
	f.StringVar(&o.tag, "snapshot-tag", "", "print only digests with this `tag`")
}

// snapshotOptions are the flags of cip snapshot.
type snapshotOptions struct {
	snapshotFilter
	registryOptions
	output string
}

func newSnapshotCmd(s streams) *cobra.Command {
	o := &snapshotOptions{}
	cmd := &cobra.Command{
		Use:         "snapshot REGISTRY",
		Annotations: exits(),
		Short:       "Print the contents of a registry",
		Long: `snapshot prints the repositories, digests and tags of a registry, or of the part
below a path, as an images.yaml. It finds repositories with Google's listing or
the catalog. A registry with neither, or with an empty catalog, is read as one
repository. If the registry cannot be read, this is an error.`,
		Example: "  cip snapshot registry.example.com/production\n  cip snapshot localhost:5000/prod --output=csv",
		Args:    countArgs(1, 1),
		RunE: o.withLog(s, func(ctx context.Context, s *session, args []string) error {
			return o.take(ctx, s, args[0])
		}),
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "output `format`: yaml, csv or json (default yaml)")
	o.snapshotFilter.addFlags(f)
	o.registryOptions.addFlags(f)
	cmd.AddCommand(newSnapshotDiffCmd(s))
	return cmd
}

// take reads a registry and prints its contents.
func (o *snapshotOptions) take(ctx context.Context, s *session, name string) error {
	format, err := output.SnapshotFormat(o.output)
	if err != nil {
		return err
	}
	root, err := image.ParseRegistry(name)
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	s.progress.Start("reading repositories", 0)
	held, err := readRegistry(ctx, s, root, &o.registryOptions, &o.snapshotFilter)
	s.progress.Finish()
	if err != nil {
		return err
	}
	return output.WriteSnapshot(s.out, held, format)
}

// readRegistry reads the contents of a registry.
func readRegistry(ctx context.Context, s *session, root image.Registry, o *registryOptions, part *snapshotFilter) (inventory.Snapshot, error) {
	client, err := o.client(s, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Snapshot(ctx, root, registry.SnapshotOptions{Minimal: part.minimal, Tag: part.tag, Step: s.progress.Step}, s.warn)
}

func (o *snapshotFilter) check() error {
	if o.tag == "" {
		return nil
	}
	return image.CheckTag(o.tag)
}

// manifestSnapshot prints the part of the manifests that is about one registry.
func (o *runOptions) manifestSnapshot(s *session) error {
	format, err := output.SnapshotFormat(o.output)
	if err != nil {
		return err
	}
	root, err := image.ParseRegistry(o.manifestSnapshotOf)
	if err != nil {
		return err
	}
	if o.minimal {
		return errors.New("--minimal-snapshot is for registries: offline, the children of an index are unknown")
	}
	if err := o.snapshotFilter.check(); err != nil {
		return err
	}
	set, err := o.load()
	if err != nil {
		return err
	}
	wanted := plan.Desired(set, nil)
	faults := slices.Concat(set.Faults, wanted.Faults)
	manifest.SortFaults(faults)
	s.logFaults(faults)
	if set.Broken() {
		return &exitError{code: exitFailed}
	}
	for _, t := range plan.Unpinned(set) {
		s.log.Warnf("left out: the digest of a retag entry without a pin is known only to the registry: %s", t.Repository.Tag(t.Tag))
	}
	held := wanted.Snapshot(root)
	if len(held) == 0 && len(wanted.Targets) > 0 {
		s.log.Warnf("the manifests publish nothing at or below %s", root)
	}
	if o.tag != "" {
		held = held.WithTag(o.tag)
	}
	if err := output.WriteSnapshot(s.out, held, format); err != nil {
		return err
	}
	return failIf(!set.OK() || len(wanted.Faults) > 0)
}
