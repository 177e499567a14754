package cli

import (
	"context"
	"fmt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/rebase"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// runSelectors rebases the apps that selectors with a rebase select, and saves them in
// the source registry.
func (r *rebasing) runSelectors(ctx context.Context) error {
	from, err := newResolution(ctx, &r.selectorOptions, r.session)
	if err != nil {
		return err
	}
	defer from.Close()
	if r.client, err = r.selectorOptions.client(r.session, registry.EntriesOf(from.Set)); err != nil {
		return err
	}
	defer r.client.Close()
	rebaser := lookup.NewRebaser(r.client)
	all := from.run(ctx, r.client, func(p *selector.Selector) bool { return p.Rebase != nil }, rebaser.Compute)
	report := output.Rebase{DryRun: r.dry, Check: r.check}
	for _, file := range all {
		for _, result := range file.Ran() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			report.Apps = append(report.Apps, r.saveResult(ctx, result, rebaser.Result(result.Selector)))
		}
	}
	if len(report.Apps) == 0 {
		return fmt.Errorf("no selector in %s has a rebase, or --only names none that has", r.path())
	}
	if err := r.write(report); err != nil {
		return err
	}
	return rebaseExit(ctx, report, from.Set.OK())
}

// saveResult saves one rebased app, unless it is a dry run, and describes it.
func (r *rebasing) saveResult(ctx context.Context, result *resolve.Result, res *rebase.Result) output.App {
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
	app, _ := r.save(ctx, res, res.App, refs)
	return app
}

// rebaseExit returns the exit code for several apps.
func rebaseExit(ctx context.Context, report output.Rebase, ok bool) error {
	stale := false
	for i := range report.Apps {
		switch report.Apps[i].State {
		case rebase.NameFailed.String():
			ok = false
		case outOfDate:
			stale = true
		}
	}
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case !ok:
		return &exitError{code: exitFailed}
	case stale:
		return &exitError{code: exitChanges}
	}
	return nil
}
