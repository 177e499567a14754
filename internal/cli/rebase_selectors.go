package cli

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// runRebaseSelectors rebases the images of selectors, and saves them in the source registry.
func runRebaseSelectors(ctx context.Context, o *rebaseOptions, s streams) error {
	r := &rebasing{rebaseOptions: o, streams: s}
	if err := r.parse(nil); err != nil {
		return err
	}
	from, err := newResolution(ctx, &o.selectorOptions, s)
	if err != nil {
		return err
	}
	defer from.tree.Close()
	r.log = from.log
	if r.client, err = o.client(s, plan.SitesOf(from.set), r.log); err != nil {
		return err
	}
	defer r.client.Close()
	rebaser := lookup.NewRebaser(r.client)
	all := from.resolve(ctx, r.client, func(p *selector.Selector) bool { return p.Rebase != nil && from.asked(p) }, rebaser.Compute)
	told := output.Rebase{DryRun: r.dry, Check: o.check}
	for _, done := range all {
		for i := range done.results {
			result := &done.results[i]
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if result.Choice != nil || result.Err != nil {
				told.Apps = append(told.Apps, r.produced(ctx, result, rebaser.Result(result.Selector)))
			}
		}
	}
	if len(told.Apps) == 0 {
		return fmt.Errorf("none of the selectors in %s has a rebase", o.path())
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
