package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// rebaseFunc computes what a producer's image becomes on its new run image.
type rebaseFunc = func(context.Context, *manifest.Producer, v1.Hash) (v1.Hash, *manifest.LockRebase, error)

// producerRebaser rebases what producers select.
type producerRebaser struct {
	client *registry.Client

	mu      sync.Mutex // the reader is for one goroutine
	reader  *rebase.Reader
	results map[*manifest.Producer]*rebase.Result
}

func newProducerRebaser(c *registry.Client) *producerRebaser {
	return &producerRebaser{client: c, reader: rebase.NewReader(c), results: map[*manifest.Producer]*rebase.Result{}}
}

// compute is a rebaseFunc that writes nothing.
func (r *producerRebaser) compute(ctx context.Context, p *manifest.Producer, app v1.Hash) (v1.Hash, *manifest.LockRebase, error) {
	accept, err := rebase.ParseAccept(p.Rebase.Accept)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	o := rebase.Options{Mirrors: p.Rebase.LocalMirrors, Accept: accept, Host: p.Output.RegistryStr()}
	if run := p.Rebase.RunImage; run != nil {
		o.Files = []rebase.File{{Name: p.Pos.String(), Images: []rebase.Names{{Image: run.Image, Mirrors: run.Mirrors}}}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	res, err := r.reader.Rebase(ctx, rebase.Reference{Repository: p.Repository, Digest: app}, o)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	r.results[p] = res
	return res.Digest, &manifest.LockRebase{
		App:         app,
		From:        manifest.LockBase{Reference: res.From.Reference, TopLayer: res.From.TopLayer},
		Onto:        manifest.LockBase{Image: res.Onto.Image, Digest: res.Onto.Digest, TopLayer: res.Onto.TopLayer},
		PlatformAPI: res.PlatformAPI,
	}, nil
}

// pin is a rebaseFunc that fails unless the rebased image is where it is promoted from.
func (r *producerRebaser) pin(ctx context.Context, p *manifest.Producer, app v1.Hash) (v1.Hash, *manifest.LockRebase, error) {
	d, evidence, err := r.compute(ctx, p, app)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	switch state, err := r.client.Has(ctx, p.Output, d.String()); {
	case err != nil:
		return v1.Hash{}, nil, fmt.Errorf("reading source %s: %w", p.Output.Digest(d.String()).String(), err)
	case state != inventory.Present:
		return v1.Hash{}, nil, fmt.Errorf("%s is not there yet: cip rebase with --only=%s and --confirm puts it there", p.Output.Digest(d.String()).String(), p.Name)
	}
	return d, evidence, nil
}

// runRebaseProducers rebases what the sources of manifests select, and saves it where it is promoted from.
func runRebaseProducers(ctx context.Context, o *rebaseOptions, s streams) error {
	r := &rebasing{rebaseOptions: o, streams: s}
	if err := r.parse(nil); err != nil {
		return err
	}
	from, err := newResolution(&o.producerOptions, s)
	if err != nil {
		return err
	}
	r.log = from.log
	if r.client, err = o.client(s, plan.SitesOf(from.set), r.log); err != nil {
		return err
	}
	defer r.client.Close()
	rebaser := newProducerRebaser(r.client)
	all := from.resolve(ctx, r.client, func(p *manifest.Producer) bool { return p.Rebase != nil && from.asked(p) }, rebaser.compute)
	told := output.Rebase{DryRun: r.dry, Check: o.check}
	for _, done := range all {
		for i := range done.results {
			result := &done.results[i]
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if result.Choice != nil || result.Err != nil {
				told.Apps = append(told.Apps, r.produced(ctx, result, rebaser.results[result.Selector]))
			}
		}
	}
	if len(told.Apps) == 0 {
		return fmt.Errorf("no source of %s that was asked for has a rebase", o.path())
	}
	if err := r.write(told); err != nil {
		return err
	}
	return rebaseVerdict(ctx, told, from.set.OK())
}

// produced saves one rebased image, unless it is a dry run, and describes it.
func (r *rebasing) produced(ctx context.Context, result *resolve.Result, res *rebase.Result) output.App {
	p := result.Selector
	failed := func(err error) output.App {
		return output.App{App: p.Repository.String(), State: rebase.NameFailed.String(), Error: fmt.Sprintf("%s: %s: %v", p.Pos, p.Name, err)}
	}
	if result.Err != nil {
		return failed(result.Err)
	}
	tags, err := resolve.Tags(p, result.Choice)
	if err != nil {
		return failed(err)
	}
	refs := make([]rebase.Reference, 0, max(1, len(tags)))
	for _, tag := range tags {
		refs = append(refs, rebase.Reference{Repository: p.Output, Tag: tag})
	}
	if len(refs) == 0 {
		refs = append(refs, rebase.Reference{Repository: p.Output})
	}
	told, _ := r.save(ctx, res, res.App, refs)
	return told
}

// rebaseVerdict returns the exit code for several apps.
func rebaseVerdict(ctx context.Context, told output.Rebase, ok bool) error {
	stale := false
	for i := range told.Apps {
		switch told.Apps[i].State {
		case rebase.NameFailed.String():
			ok = false
		case outOfDate:
			stale = true
		}
	}
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	case !ok:
		return &exitError{code: exitFailed}
	case stale:
		return &exitError{code: exitChanges}
	}
	return nil
}
