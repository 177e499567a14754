package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/pflag"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/lookup"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/propose"
)

// proposal returns the proposal of changes, with the text of its pull request.
func (p *proposing) proposal(ctx context.Context, files []git.FileChange, promoted []output.Promoted) (propose.Proposal, error) {
	all := propose.Proposal{
		Files: files, SignOff: p.signOff, Draft: p.draft,
		Branch: cmp.Or(p.branch, output.ProposalBranch(promoted)), Title: cmp.Or(p.title, output.ProposalTitle(promoted)),
	}
	if p.custom != nil {
		all.Body = p.custom.body
		return all, nil
	}
	plan, err := p.checked(ctx, files)
	if err != nil {
		return all, err
	}
	for _, part := range []string{p.body, output.ProposalList(promoted), plan} {
		if part != "" {
			all.Body += strings.TrimRight(part, "\n") + "\n\n"
		}
	}
	all.Body = strings.TrimSuffix(all.Body, "\n")
	return all, nil
}

// checked returns what cip check prints about changed files, as markdown.
func (p *proposing) checked(ctx context.Context, files []git.FileChange) (string, error) {
	o := &checkOptions{}
	o.addFlags(pflag.NewFlagSet("", pflag.ContinueOnError)) // the defaults
	o.registryOptions = p.registryOptions
	c := &checking{
		checkOptions: o, session: p.session, at: load.Manifests{Dir: p.where},
		reader: &promote.RuleReader{}, report: &output.CheckReport{},
	}
	if p.at.File != "" {
		c.at = load.Manifests{File: p.where}
	}
	if err := offline(ctx, func() error { return p.read(c, files) }); err != nil {
		return "", err
	}
	if err := c.findings(ctx); err != nil {
		return "", err
	}
	c.report.Manifests.Path = p.where
	if check.Bad(c.report.Findings) {
		p.log.Warn("the check of the change has findings, which the text of the pull request lists")
	}
	var text bytes.Buffer
	if err := output.WriteCheck(&text, c.report, output.Markdown, false); err != nil {
		return "", fmt.Errorf("writing the text of the pull request: %w", err)
	}
	return text.String(), nil
}

// read reads the manifests before and after the change, under their names in the
// repository: reviewers do not know the clone.
func (p *proposing) read(c *checking, files []git.FileChange) error {
	draft := p.work.Draft
	base, err := c.at.In(draft.Repository, draft.Base, p.where)
	if err != nil {
		return err
	}
	if err := c.compareWith(base); err != nil {
		return err
	}
	sketch, err := draft.Sketch(files)
	if err != nil {
		return err
	}
	changed, err := c.at.In(draft.Repository, sketch, p.where)
	if err != nil {
		return err
	}
	selectors, err := lookup.SelectorsAt(c.at, changed, nil, false)
	if err != nil {
		return err
	}
	return c.take(selectors)
}

// resolved returns the changes that the selectors in the base branch make.
func (p *proposing) resolved(ctx context.Context) (files []git.FileChange, promoted []output.Promoted, err error) {
	r := &resolution{
		selectorOptions: &selectorOptions{manifestOptions: p.manifestOptions, registryOptions: p.registryOptions, only: p.only},
		session:         p.session,
	}
	err = r.load(ctx, func() (*lookup.Selectors, error) { return lookup.SelectorsAt(p.at, p.base, p.only, true) })
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	all, err := r.all(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := r.Amend(all); err != nil {
		return nil, nil, err
	}
	r.describe(all)
	for _, file := range all {
		for _, c := range file.Changes {
			files = append(files, git.FileChange{Path: path.Join(p.base.Dir, c.Name), Before: c.Before, After: c.After})
		}
		for _, result := range file.Ran() {
			if result.Err == nil && result.Lock != file.File.Find(result.Selector) {
				promoted = append(promoted, output.Promoted{Image: result.Selector.ImageName(), Digest: result.Lock.Digest.String(), Tags: result.Lock.Tags})
			}
		}
	}
	p.failed = r.exit(all) != nil
	return files, promoted, nil
}

// lines returns the lines of a text.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
