package attest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// platforms collects the platform manifests of promoted indexes that are not promoted
// themselves. Each gets one summary, however many indexes have it.
type platforms struct {
	w      *Writer
	listed map[place]struct{} // digests that are promoted themselves

	mu  sync.Mutex
	all map[place]*platform
	bad []*group // of indexes that could not be read
}

// platform is a platform manifest of promoted indexes.
type platform struct {
	v1.Descriptor
	indexes  []*Subject
	outcomes []Outcome // of the indexes
	own      Outcome
	wants    []Want
}

func newPlatforms(w *Writer, subjects []Subject) *platforms {
	p := &platforms{w: w, listed: map[place]struct{}{}, all: map[place]*platform{}}
	for i := range subjects {
		s := &subjects[i]
		p.listed[s.place()] = struct{}{}
	}
	return p
}

// add adds the platforms of a subject, if it is an index.
func (p *platforms) add(ctx context.Context, s *Subject, verdicts []provenance.Verdict) {
	m, err := p.w.image(ctx, s)
	var content *registry.Content
	if err == nil {
		content, err = m.Parse()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		g := &group{of: []*Subject{s}}
		g.fail(plan.VerificationSummary, s.Digest, fmt.Errorf("reading the platforms: %w", err))
		p.bad = append(p.bad, g)
		return
	}
	for _, child := range content.Children {
		at := place{s.Repository, s.Name, child.Digest}
		if _, listed := p.listed[at]; listed || !evidence.IsPlatform(child) {
			continue
		}
		one := p.all[at]
		if one == nil {
			one = &platform{Descriptor: child, own: OutcomeOf(ofPlatform(verdicts, child.Digest))}
			p.all[at] = one
		}
		one.indexes, one.outcomes = append(one.indexes, s), append(one.outcomes, OutcomeOf(verdicts))
		one.wants = append(one.wants, s.Wants...)
	}
}

// ofPlatform returns the verdicts about a platform by its own evidence, from those about
// its index. A policy that has none is not satisfied.
func ofPlatform(verdicts []provenance.Verdict, digest v1.Hash) []provenance.Verdict {
	own := make([]provenance.Verdict, len(verdicts))
	for i, v := range verdicts {
		own[i] = provenance.Verdict{Repository: v.Repository}
		for _, j := range v.Judgments {
			one := provenance.Judgment{Policy: j.Policy, Result: provenance.Result{Violations: []string{"its evidence is not known"}}}
			if n := slices.IndexFunc(j.Result.Platforms, func(r provenance.PlatformResult) bool { return r.Digest == digest }); n >= 0 {
				one.Result = j.Result.Platforms[n].Result
			}
			own[i].Judgments = append(own[i].Judgments, one)
		}
	}
	return own
}

// groups plans the summaries of the platforms, sorted by index.
func (p *platforms) groups(ctx context.Context) []*group {
	groups := p.bad
	var all errgroup.Group
	all.SetLimit(inFlight)
	for at, one := range p.all {
		slices.SortFunc(one.indexes, compareSubjects)
		g := &group{of: one.indexes}
		groups = append(groups, g)
		all.Go(func() error {
			index := Outcome{Passed: !slices.ContainsFunc(one.outcomes, func(o Outcome) bool { return !o.Passed })}
			p.w.planSummary(ctx, g, p.w.summary(one.indexes[0], at.digest, OfPlatform(one.own, index), one.wants), one.Descriptor)
			return nil
		})
	}
	_ = all.Wait() // no function returns an error
	slices.SortFunc(groups, func(a, b *group) int { return compareSubjects(a.of[0], b.of[0]) })
	return groups
}

// image returns the manifest of a subject: from where it is promoted from, if the
// repository does not hold it yet.
func (w *Writer) image(ctx context.Context, s *Subject) (*registry.Manifest, error) {
	repo := s.Repository
	if s.Absent {
		repo = s.From
	}
	return w.images.Do(ctx, place{repo: repo, digest: s.Digest}, func() (*registry.Manifest, error) {
		m, err := w.o.Client.Manifest(ctx, repo, s.Digest.String())
		if err != nil {
			err = fmt.Errorf("reading %s: %w", repo.Digest(s.Digest.String()), err)
		}
		return m, err
	})
}
