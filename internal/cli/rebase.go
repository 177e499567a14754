package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// rebaseOptions are the flags of cip rebase.
type rebaseOptions struct {
	runImageSource
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
		Short:       "Put an app that buildpacks made on a newer run image",
		Long: `rebase puts an app on another run image, in the registry: the layers of its base are
replaced, its own stay. On one registry layers are mounted, and only a configuration
and a manifest are uploaded. The first IMAGE is the app, all are names to save it
under. Dry run is the default: the new digest is computed and printed, nothing is
written. With --check each IMAGE is an app of its own, and the exit code is 2 if one
is out of date.

With manifests instead of an IMAGE, selectors that have a rebase are resolved, and the
rebased images are saved in the source registry: cip resolve --write then pins them.

The run image is the best readable one of those that files, or else the app's
metadata, name (cip run-image); --run-image names another. The digest is a function
of app, run image and flags: the same come out of dry run, real run and repetition.`,
		Example: `  cip rebase registry.example.com/shop/web:1.4
  cip rebase registry.example.com/shop/web:1.4 registry.example.com/shop/web:latest --confirm --report=report.toml
  cip rebase registry.example.com/shop/web:1.4 --run-image=registry.example.com/base/run:22.04.5 --accept=same-repository
  cip rebase --thin-manifest-dir=manifests --only=shop --confirm
  cip rebase --check registry.example.com/shop/web:1.4 registry.example.com/shop/api:2.0`,
		RunE: func(cmd *cobra.Command, args []string) error {
			named := cmd.Flags().Changed("manifest") || cmd.Flags().Changed("thin-manifest-dir")
			switch {
			case len(args) > 0 && named:
				return errors.New("an IMAGE and manifests exclude each other")
			case len(args) > 0:
				return runRebase(cmd.Context(), o, s, args)
			case o.path() == "":
				return errors.New("an IMAGE, --manifest or --thin-manifest-dir is required")
			}
			return runRebaseSelectors(cmd.Context(), o, s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.runImage, "run-image", "", "the new run `image`, instead of choosing one")
	f.StringVar(&o.previous, "previous-image", "", "read the app from this `image`; IMAGEs are only written")
	f.StringVar(&o.accept, "accept", "listed", "run images to accept: those that the metadata names (listed), their other tags (same-repository), or any")
	f.BoolVar(&o.force, "force", false, "accept any run image, and one for another target, and an app that says it is not rebasable")
	f.BoolVar(&o.check, "check", false, "only say which apps are out of date")
	f.StringVar(&o.report, "report", "", "write a report.toml to a `file`")
	f.StringVarP(&o.output, "output", "o", "", "form of what is printed: text or json (default text)")
	o.confirmOptions.addFlags(f)
	o.runImageSource.addFlags(f)
	o.selectorOptions.addFlags(f)
	f.StringSliceVar(&o.only, "only", nil, "with manifests: rebase only the images of selectors with these `names`")
	for _, writes := range []string{"confirm", "previous-image", "report"} {
		cmd.MarkFlagsMutuallyExclusive("check", writes)
	}
	for _, named := range []string{"run-image", "previous-image", "accept", "force", "report"} {
		cmd.MarkFlagsMutuallyExclusive("thin-manifest-dir", named)
		cmd.MarkFlagsMutuallyExclusive("manifest", named)
	}
	return cmd
}

// outOfDate is what a check calls an app that would be planned without it.
const outOfDate = "out of date"

// rebasing is one run of cip rebase.
type rebasing struct {
	*rebaseOptions
	streams
	log     *logrus.Logger
	dry     bool
	format  output.Format
	options rebase.Options
	apps    []rebase.Reference
	client  *registry.Client
}

// runRebase carries out cip rebase.
func runRebase(ctx context.Context, o *rebaseOptions, s streams, args []string) error {
	r := &rebasing{rebaseOptions: o, streams: s}
	if err := r.parse(args); err != nil {
		return err
	}
	client, err := o.client(s, nil, r.log)
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
	if r.log, _, err = r.logger(r.streams); err != nil {
		return err
	}
	if r.dry, err = r.confirmOptions.dry(); err != nil {
		return err
	}
	if r.format, err = output.TextOrJSON(r.output, "rebase"); err != nil {
		return err
	}
	if err := checkFile(r.report); err != nil {
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

// one puts one app on a run image and saves it under all names.
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
	told, names := r.save(ctx, res, app, r.saved())
	if err := r.write(output.Rebase{DryRun: r.dry, Apps: []output.App{told}}); err != nil {
		return err
	}
	if r.report != "" {
		text, err := res.Report(names)
		if err == nil {
			err = writeFile(r.report, func(w io.Writer) error { _, err := io.Copy(w, bytes.NewReader(text)); return err })
		}
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case told.State == rebase.NameFailed.String():
		return &exitError{code: exitFailed}
	}
	return nil
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
	r.logFaults(res)
	told := describe(res, app)
	told.Names, told.State = nameStates(names)
	if r.check && told.State == rebase.NamePlanned.String() {
		told.State = outOfDate
	}
	told.Layers = output.AppLayers{There: t.There, Mounted: t.Mounted, Copied: t.Copied}
	return told, names
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

// tell logs what people should know of a result.
func (r *rebasing) logFaults(res *rebase.Result) {
	for _, n := range res.Notes {
		r.log.Warn(n)
	}
	if !res.UpToDate && !r.check {
		r.log.Infof("signatures and attestations of %s do not cover %s: sign it anew", res.App.Digest, res.Digest)
	}
}

// checkAll says of each app whether it is out of date.
func (r *rebasing) checkAll(ctx context.Context) error {
	reader := rebase.NewReader(r.client)
	told := output.Rebase{DryRun: true, Check: true}
	failed, stale := false, false
	for _, app := range r.apps {
		res, err := reader.Rebase(ctx, app, r.options)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = true
			told.Apps = append(told.Apps, output.App{App: app.String(), State: "failed", Error: err.Error()})
			continue
		}
		one := describe(res, app)
		if one.State = "up to date"; !res.UpToDate {
			one.State, stale = outOfDate, true
		}
		for _, n := range res.Notes {
			r.log.Warnf("%s: %s", app, n)
		}
		told.Apps = append(told.Apps, one)
	}
	if err := r.write(told); err != nil {
		return err
	}
	switch {
	case failed:
		return &exitError{code: exitFailed}
	case stale:
		return &exitError{code: exitChanges}
	}
	return nil
}

func (r *rebasing) write(told output.Rebase) error {
	if err := output.WriteRebase(r.out, told, r.format); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	return nil
}

// describe returns what is told of a result.
func describe(res *rebase.Result, app rebase.Reference) output.App {
	a := output.App{
		App: app.String(), PreviousDigest: image.DigestString(res.App.Digest), Digest: res.Digest.String(), PlatformAPI: res.PlatformAPI,
		From:     output.AppBase(res.From),
		Onto:     output.AppNewBase{Image: res.Onto.Image, Digest: res.Onto.Digest.String(), TopLayer: res.Onto.TopLayer},
		Warnings: res.Notes,
	}
	for i := range res.Images {
		img := &res.Images[i]
		a.Images = append(a.Images, output.AppImage{Platform: img.Platform, PreviousDigest: image.DigestString(img.Was), Digest: img.Manifest.Digest.String()})
	}
	return a
}

// nameStates returns what is told of names, and the state of them all: failed if
// one is, else of the first that is not up to date.
func nameStates(names []rebase.Name) (told []output.AppName, state string) {
	all := rebase.NameUpToDate
	for _, n := range names {
		one := output.AppName{Name: n.String(), State: n.State.String(), PreviousDigest: image.DigestString(n.Was)}
		if n.Err != nil {
			one.Error = strings.TrimSpace(n.Err.Error())
		}
		if n.State == rebase.NameFailed || all == rebase.NameUpToDate {
			all = n.State
		}
		told = append(told, one)
	}
	return told, all.String()
}
