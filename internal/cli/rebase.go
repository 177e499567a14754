package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// rebaseOptions are the flags of cip rebase.
type rebaseOptions struct {
	runImageNames
	selectorOptions
	confirmOptions
	runImage, previous string
	accept             string
	force, check       bool
	report, output     string
}

func newRebaseCmd(s streams) *cobra.Command {
	o := &rebaseOptions{}
	cmd := &cobra.Command{
		Use:         "rebase IMAGE… | rebase --thin-manifest-dir=DIR",
		Annotations: exits(outdatedMeaning),
		Short:       "Rebase an app built by buildpacks onto a newer run image",
		Long: `rebase replaces the run image of an app in the registry: the layers of the old
run image are replaced, the layers of the app stay. Within one registry host
layers are mounted, so that only a config and a manifest are uploaded. The first
IMAGE is the app; it is saved under all IMAGEs. By default nothing is written
(dry run): the new digest is computed and printed. With --check each IMAGE is an
app of its own, and the exit code is 2 if one is out of date.

The first IMAGE is written, too: its tag moves to the rebased app. With
--previous-image the app is read from there instead, and keeps its tag.

With manifests instead of an IMAGE, rebase runs the selectors that have a rebase
and saves the rebased apps in the source registry. cip resolve --write then pins
them.

By default the run image is chosen as by cip run-image, from the given files or
else the app's metadata. --run-image names another. The digest depends only on
app, run image and flags, so a dry run and all real runs compute the same one.`,
		Example: `  cip rebase registry.example.com/shop/web:1.4
  cip rebase registry.example.com/shop/web:1.4-r1 --previous-image=registry.example.com/shop/web:1.4 --confirm
  cip rebase registry.example.com/shop/web:1.4 --run-image=registry.example.com/base/run:22.04.5 --accept=same-repository
  cip rebase --thin-manifest-dir=manifests --only=shop --confirm
  cip rebase --check registry.example.com/shop/web:1.4 registry.example.com/shop/api:2.0`,
		RunE: o.withLog(s, o.run),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *rebaseOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.runImage, "run-image", "", "use this run `image` instead of choosing one")
	f.StringVar(&o.previous, "previous-image", "", "read the app from this `image`; IMAGEs are only written")
	f.StringVar(&o.accept, "accept", "listed", "accepted run `images`: those that the metadata names (listed), also other tags of them (same-repository), or any")
	f.BoolVar(&o.force, "force", false, "accept any run image, also for another target, and apps that are marked as not rebasable")
	f.BoolVar(&o.check, "check", false, "only report which apps are out of date")
	f.StringVar(&o.report, "report", "", "write a report.toml to this `file`")
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text or json (default text)")
	o.confirmOptions.addFlags(f)
	o.runImageNames.addFlags(f)
	o.selectorOptions.addFlags(f)
	f.StringSliceVar(&o.only, "only", nil, "with manifests: rebase only the selectors with these `names`")
}

// checkFlags returns an error for flags on the command line that exclude each other.
func (o *rebaseOptions) checkFlags() error {
	ofImage := []string{"run-image", "previous-image", "accept", "force", "report"} // selectors say the same in manifests
	for _, group := range []struct {
		flag   string
		others []string
	}{{"check", []string{"confirm", "previous-image", "report"}}, {"manifest", ofImage}, {"thin-manifest-dir", ofImage}} {
		if i := slices.IndexFunc(group.others, o.flags.Changed); i >= 0 && o.flags.Changed(group.flag) {
			return fmt.Errorf("--%s and --%s exclude each other", group.flag, group.others[i])
		}
	}
	return nil
}

// outOfDate is the state, in a check, of an app that would be planned without it.
const outOfDate = "out of date"

// rebasing is one run of cip rebase.
type rebasing struct {
	*rebaseOptions
	*session
	dry     bool
	format  output.Format
	options rebase.Options
	apps    []rebase.Reference
	client  *registry.Client
}

// run carries out cip rebase.
func (o *rebaseOptions) run(ctx context.Context, s *session, args []string) error {
	switch named := o.flags.Changed("manifest") || o.flags.Changed("thin-manifest-dir"); {
	case len(args) > 0 && named:
		return errors.New("an IMAGE and manifests exclude each other")
	case len(args) == 0 && o.path() == "":
		return errors.New("an IMAGE, --manifest or --thin-manifest-dir is required")
	}
	if err := o.checkFlags(); err != nil {
		return err
	}
	r := &rebasing{rebaseOptions: o, session: s}
	if err := r.parse(args); err != nil {
		return err
	}
	if len(args) == 0 {
		return r.runSelectors(ctx)
	}
	client, err := o.client(s, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	r.client = client
	if o.check {
		return r.checkAll(ctx)
	}
	return r.one(ctx)
}

// parse reads flags and arguments.
func (r *rebasing) parse(args []string) error {
	var err error
	if r.dry, err = r.confirmOptions.dry(); err != nil {
		return err
	}
	if r.format, err = output.TextOrJSON(r.output, "rebase"); err != nil {
		return err
	}
	if err := load.CheckWritable(r.report); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	r.options = rebase.Options{RunImage: r.runImage, Mirrors: r.mirrors, Force: r.force}
	if r.options.Accept, err = rebase.ParseAccept(r.accept); err != nil {
		return fmt.Errorf("--accept: %w", err)
	}
	if r.options.Files, r.options.Order, err = r.read(); err != nil {
		return err
	}
	for _, arg := range args {
		ref, err := rebase.ParseReference(arg)
		if err != nil {
			return err
		}
		if len(r.apps) > 0 && !r.check && ref.RegistryStr() != r.apps[0].RegistryStr() {
			return fmt.Errorf("the names to save under are on two registries, %s and %s: want one", r.apps[0].RegistryStr(), ref.RegistryStr())
		}
		r.apps = append(r.apps, ref)
	}
	return nil
}

// one rebases one app and saves it under all names.
func (r *rebasing) one(ctx context.Context) error {
	app := r.apps[0]
	if r.previous != "" {
		var err error
		if app, err = rebase.ParseReference(r.previous); err != nil {
			return fmt.Errorf("--previous-image: %w", err)
		}
	}
	r.options.Host = r.apps[0].RegistryStr()
	res, err := rebase.NewReader(r.client).Rebase(ctx, app, r.options)
	if err != nil {
		return err
	}
	saved, names := r.save(ctx, res, app, r.saved())
	if r.dry && r.previous == "" && len(names) > 1 && names[0].State == rebase.NamePlanned {
		r.log.Infof("%s is the app and moves, too: to leave it where it is, give it as --previous-image", names[0].Reference)
	}
	report := output.Rebase{DryRun: r.dry, Apps: []output.App{saved}}
	if err := r.write(report); err != nil {
		return err
	}
	if r.report != "" {
		text, err := res.Report(names)
		if err == nil {
			err = load.WriteFile(r.report, func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(text)); return err })
		}
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return rebaseExit(ctx, report, true)
}

// save saves a result under names, unless it is a dry run, and describes it.
func (r *rebasing) save(ctx context.Context, res *rebase.Result, app rebase.Reference, refs []rebase.Reference) (output.App, []rebase.Name) {
	names := rebase.Survey(ctx, r.client, res, refs)
	t := res.Traffic(refs[0].Repository)
	if !r.dry && !r.check {
		var notes []string
		t, notes = rebase.Push(ctx, r.client, res, names)
		res.Notes = append(res.Notes, notes...)
	}
	r.logNotes(res)
	saved := output.DescribeRebase(res, app)
	saved.SetNames(names)
	if r.check && saved.State == rebase.NamePlanned.String() {
		saved.State = outOfDate
	}
	saved.Layers = output.AppLayers{There: t.There, Mounted: t.Mounted, Copied: t.Copied}
	return saved, names
}

// saved returns the names to save under. An app that is named by digest and tag is saved under its tag.
func (r *rebasing) saved() []rebase.Reference {
	var refs []rebase.Reference
	seen := map[rebase.Reference]struct{}{}
	for _, ref := range r.apps {
		ref.Digest = v1.Hash{}
		if _, twice := seen[ref]; !twice {
			seen[ref] = struct{}{}
			refs = append(refs, ref)
		}
	}
	return refs
}

// logNotes logs the notes about a result.
func (r *rebasing) logNotes(res *rebase.Result) {
	for _, n := range res.Notes {
		r.log.Warn(n)
	}
	if !res.UpToDate && !r.check {
		r.log.Infof("signatures and attestations of %s do not cover %s: sign the new image", res.App.Digest, res.Digest)
	}
}

// checkAll reports whether each app is out of date.
func (r *rebasing) checkAll(ctx context.Context) error {
	reader := rebase.NewReader(r.client)
	report := output.Rebase{DryRun: true, Check: true}
	for _, app := range r.apps {
		res, err := reader.Rebase(ctx, app, r.options)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			report.Apps = append(report.Apps, output.App{App: app.String(), State: rebase.NameFailed.String(), Error: err.Error()})
			continue
		}
		one := output.DescribeRebase(res, app)
		if one.State = "up to date"; !res.UpToDate {
			one.State = outOfDate
		}
		for _, n := range res.Notes {
			r.log.Warnf("%s: %s", app, n)
		}
		report.Apps = append(report.Apps, one)
	}
	if err := r.write(report); err != nil {
		return err
	}
	return rebaseExit(ctx, report, true)
}

func (r *rebasing) write(report output.Rebase) error {
	return output.WriteRebase(r.out, report, r.format)
}
