package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// diffOptions are the flags of cip snapshot diff.
type diffOptions struct {
	snapshotFilter
	registryOptions
	output   string
	detailed bool
}

func newSnapshotDiffCmd(s streams) *cobra.Command {
	o := &diffOptions{}
	cmd := &cobra.Command{
		Use:         "diff FROM TO",
		Annotations: exits(differenceMeaning),
		Short:       "Compare two registries, snapshot files or manifests",
		Long: `diff prints the tags that were added, removed and moved between two snapshots.
FROM and TO are each one of: a file written by cip snapshot (- for standard
input); manifests:PATH=REGISTRY, the images that the manifests at PATH publish
in REGISTRY; a registry.`,
		Example: `  cip snapshot diff before.yaml registry.example.com/production
  cip snapshot diff manifests:manifests/demo=localhost:5000/prod localhost:5000/prod --detailed-exitcode`,
		Args: countArgs(2, 2),
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text, json or markdown (default text)")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 2 if there is a difference")
	o.snapshotFilter.addFlags(f)
	o.registryOptions.addFlags(f)
	return cmd
}

// run carries out cip snapshot diff.
func (o *diffOptions) run(ctx context.Context, s *session, args []string) error {
	format, err := output.DiffFormat(o.output)
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if args[0] == "-" && args[1] == "-" {
		return errors.New("both sides are standard input: it can be read once")
	}
	s.progress.Start("reading repositories", 0)
	var sides [2]inventory.Snapshot
	g, ctx := errgroup.WithContext(ctx)
	for i, arg := range args {
		g.Go(func() (err error) {
			sides[i], err = o.read(ctx, s, arg)
			return err
		})
	}
	err = g.Wait()
	s.progress.Finish()
	if err != nil {
		return err
	}
	if o.tag != "" {
		sides[0], sides[1] = sides[0].WithTag(o.tag), sides[1].WithTag(o.tag)
	}
	c := output.Comparison{From: args[0], To: args[1], Changes: inventory.Diff(sides[0], sides[1])}
	if err := output.WriteDiff(s.out, c, format, s.color()); err != nil {
		return err
	}
	if o.detailed && len(c.Changes) > 0 {
		return &exitError{code: exitChanges}
	}
	return nil
}

// read reads one side of a comparison.
func (o *diffOptions) read(ctx context.Context, s *session, arg string) (inventory.Snapshot, error) {
	if rest, ok := strings.CutPrefix(arg, "manifests:"); ok {
		return readManifests(rest, s)
	}
	isFile := slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(arg)) // no registry ends like this
	if held, err := readSnapshot(arg); isFile || !errors.Is(err, os.ErrNotExist) {
		return held, err
	}
	root, err := image.ParseRegistry(arg)
	if err != nil {
		return nil, fmt.Errorf("%q is not a file, and not a registry: %w", arg, err)
	}
	return readRegistry(ctx, s, root, &o.registryOptions, &o.snapshotFilter)
}

// readSnapshot reads a file of cip snapshot; - is standard input. An empty snapshot is not nil.
func readSnapshot(name string) (inventory.Snapshot, error) {
	var raw []byte
	var err error
	if name == "-" {
		name = "standard input"
		raw, err = load.Stream(os.Stdin, name, load.MaxSnapshot)
	} else {
		raw, err = load.File(name, load.MaxSnapshot)
	}
	if err != nil {
		return nil, fmt.Errorf("reading snapshot: %w", err)
	}
	snapshot, err := output.ReadSnapshot(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append(inventory.Snapshot{}, snapshot...), nil
}

// readManifests reads PATH=REGISTRY, the part of manifests that is about one registry.
func readManifests(arg string, s *session) (inventory.Snapshot, error) {
	i := strings.LastIndexByte(arg, '=')
	if i < 0 {
		return nil, fmt.Errorf("bad operand manifests:%s: want manifests:PATH=REGISTRY", arg)
	}
	root, err := image.ParseRegistry(arg[i+1:])
	if err != nil {
		return nil, err
	}
	set := load.At(arg[:i]).Read()
	s.logFaults(set.Faults)
	wanted := plan.Desired(set, nil)
	s.logFaults(wanted.Faults)
	if !set.OK() || len(wanted.Faults) > 0 {
		return nil, fmt.Errorf("the manifests at %s have faults", arg[:i])
	}
	return wanted.Snapshot(root), nil
}
