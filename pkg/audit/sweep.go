package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// sweepLoop sweeps at an interval until ctx ends.
func (a *Auditor) sweepLoop(ctx context.Context) {
	if a.options.Sweep <= 0 {
		return
	}
	ticker := time.NewTicker(a.options.Sweep)
	defer ticker.Stop()
	for {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.options.Warn("sweeping: " + err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

const (
	sweptAtOnce = 8         // destinations that are swept concurrently
	sweepLimit  = time.Hour // for one destination, which is unread if it takes longer
)

// sweep compares all destinations with the manifests and stores drift.
//
// It finds changes that registries sent no event about.
// A destination that cannot be read is a finding and not an error. It does not delay
// the others.
func (a *Auditor) sweep(ctx context.Context) error {
	r, err := a.manifests.since(ctx, time.Now())
	if err != nil {
		return err
	}
	resolved := a.resolve(ctx, plan.Unpinned(r.Set))
	wanted := plan.Desired(r.Set, resolved)
	roots := r.destinations()
	errs := make([]error, len(roots))
	var g errgroup.Group
	g.SetLimit(sweptAtOnce)
	for i, root := range roots {
		g.Go(func() error {
			errs[i] = a.sweepOne(ctx, r, root, wanted.Targets)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := a.store.forgetDrift(roots); err != nil {
		return fmt.Errorf("removing old drift: %w", err)
	}
	a.metrics.swept.SetToCurrentTime()
	return nil
}

// sweepOne compares one destination with the manifests and stores drift.
func (a *Auditor) sweepOne(ctx context.Context, r *rules, root image.Registry, targets []*plan.Target) error {
	w := &sweep{inquirer: a.inquirer, rules: r, root: root}
	w.drift = drift{Destination: root.String(), Commit: r.Commit}
	for _, t := range targets {
		if _, ok := root.Relative(t.Repository); ok {
			w.targets = append(w.targets, t)
		}
	}
	limited, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	if err := w.run(limited); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.drift.add(finding{Kind: unread, Repository: root.String(), Reason: err.Error()})
	}
	w.drift.Swept = time.Now().UTC()
	w.drift.finish()
	if err := a.store.putDrift(w.drift); err != nil {
		return fmt.Errorf("storing the drift of %s: %w", root, err)
	}
	a.alerts.added.send()
	return nil
}

// resolve reads the source tags of unpinned retag entries.
//
// A tag that takes too long is unknown.
func (a *Auditor) resolve(ctx context.Context, tags []plan.SourceTag) map[plan.SourceTag]plan.Resolution {
	found := make([]plan.Resolution, len(tags))
	var g errgroup.Group
	g.SetLimit(readAtOnce)
	for i, t := range tags {
		g.Go(func() error {
			limited, cancel := context.WithTimeout(ctx, judgeLimit)
			defer cancel()
			found[i].Digest, found[i].State, found[i].Err = a.options.Client.Resolve(limited, t.Repository, t.Tag)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	all := make(map[plan.SourceTag]plan.Resolution, len(tags))
	for i, t := range tags {
		all[t] = found[i]
	}
	return all
}

// sweep is the comparison of one destination.
type sweep struct {
	*inquirer
	rules   *rules
	root    image.Registry
	targets []*plan.Target

	mu    sync.Mutex
	drift drift
}

// run reads and compares the destination.
func (s *sweep) run(ctx context.Context) error {
	held, err := s.read(ctx)
	if err != nil {
		return err
	}
	targets := map[name.Repository]*plan.Target{}
	for _, t := range s.targets {
		targets[t.Repository] = t
		if _, ok := held[t.Repository]; !ok {
			held[t.Repository] = nil
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for repo, digests := range held {
		if s.rules.inDestination(repo) {
			g.Go(func() error { return s.compare(ctx, repo, targets[repo], digests) })
		}
	}
	return g.Wait()
}

// add adds a finding. It is safe for concurrent use.
func (s *sweep) add(f finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drift.add(f)
}

// read returns what the destination holds.
//
// If the registry cannot list all repositories, it reads those that a manifest wants
// something in.
func (s *sweep) read(ctx context.Context) (map[name.Repository][]inventory.Tagged, error) {
	held := map[name.Repository][]inventory.Tagged{}
	partial := false
	snapshot, err := s.client.Snapshot(ctx, s.root, registry.SnapshotOptions{Listed: true}, func(string) { partial = true })
	if err == nil && !partial {
		for _, img := range snapshot {
			if repo, ok := s.named(img.Name); ok {
				held[repo] = img.Digests
			}
		}
		return held, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, t := range s.targets {
		g.Go(func() error {
			listed, err := s.listed(ctx, t.Repository)
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, img := range listed {
				held[t.Repository] = img.Digests
			}
			return err
		})
	}
	return held, g.Wait()
}

// named returns the repository that the destination's snapshot calls name.
//
// A repository at the prefix of the registry is called by its last path element.
func (s *sweep) named(name string) (name.Repository, bool) {
	self := image.NewRepository(s.root.RegistryStr(), s.root.Prefix)
	short, _ := s.root.Relative(self)
	if s.root.Prefix != "" && short == name && slices.ContainsFunc(s.targets, func(t *plan.Target) bool { return t.Repository == self }) {
		return self, true
	}
	repo, err := s.root.Repository(name)
	return repo, err == nil
}

// compare finds the drift of one repository.
func (s *sweep) compare(ctx context.Context, repo name.Repository, t *plan.Target, held []inventory.Tagged) error {
	there, tags := map[v1.Hash]struct{}{}, map[string]v1.Hash{}
	for _, d := range held {
		there[d.Digest] = struct{}{}
		for _, tag := range d.Tags {
			tags[tag] = d.Digest
		}
	}
	s.mu.Lock()
	s.drift.Held += len(tags)
	s.mu.Unlock()
	var entries []plan.Entry
	if t != nil {
		entries = t.Want.Entries
		s.refused(t)
	}
	wanted := map[string]v1.Hash{}
	children := make([][]v1.Hash, len(entries))
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i := range entries {
		e := &entries[i]
		for _, tag := range e.Tags {
			wanted[tag] = e.Digest
			s.tag(repo, tag, e.Digest, tags[tag])
		}
		g.Go(func() (err error) {
			children[i], err = s.content(inner, repo, e, there)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	known := map[v1.Hash]struct{}{}
	for _, child := range slices.Concat(children...) {
		known[child] = struct{}{}
	}
	g, inner = errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, d := range held {
		g.Go(func() error { return s.extras(inner, repo, d, wanted, known) })
	}
	return g.Wait()
}

// notThere is the reason of findings of kind missingTag.
const notThere = "wanted, but not there"

// refused adds findings for unreadable source tags.
func (s *sweep) refused(t *plan.Target) {
	for _, r := range t.Want.Refused {
		if r.Action == plan.Unreadable {
			s.add(finding{Kind: unread, Repository: t.Repository.String(), Tag: r.Tag, Reason: r.Reason})
		}
	}
}

// tag compares a wanted tag with the digest it has.
func (s *sweep) tag(repo name.Repository, tag string, want, has v1.Hash) {
	f := finding{Repository: repo.String(), Tag: tag, Digest: want, Line: s.rules.pos(repo, want, tag).String()}
	switch has {
	case want:
		return
	case v1.Hash{}:
		f.Kind, f.Reason = missingTag, notThere
	default:
		f.Kind, f.Digest, f.Wanted, f.Reason = movedTag, has, want, "points elsewhere"
	}
	s.add(f)
}

// content compares a wanted digest with the repository, children included.
//
// It returns the children. there has the digests that the registry lists.
func (s *sweep) content(ctx context.Context, repo name.Repository, e *plan.Entry, there map[v1.Hash]struct{}) ([]v1.Hash, error) {
	if _, ok := there[e.Digest]; !ok {
		if len(e.Tags) > 0 {
			return nil, nil // each missing tag is a finding
		}
		if lacks, err := s.lacks(ctx, repo, e, e.Digest, missingTag, notThere); lacks || err != nil {
			return nil, err
		}
	}
	var children []v1.Hash
	at := append([]name.Repository{repo}, e.Candidates(repo.RegistryStr())...)
	err := s.relations.descend(ctx, at, e.Digest, func(m *members) error {
		children = append(children, m.children...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		if _, ok := there[child]; ok {
			continue
		}
		if _, err := s.lacks(ctx, repo, e, child, lostChild, "index "+e.Digest.String()+" contains it"); err != nil {
			return nil, err
		}
	}
	return children, nil
}

// lacks reports whether a repository lacks a digest, which is a finding then.
//
// The digest is that of a wanted entry, or of a child of it.
func (s *sweep) lacks(ctx context.Context, repo name.Repository, e *plan.Entry, d v1.Hash, kind driftKind, reason string) (bool, error) {
	state, err := s.client.Has(ctx, repo, d)
	if state == inventory.Unknown {
		return false, fmt.Errorf("reading %s: %w", repo.Digest(d.String()).String(), err)
	}
	if state == inventory.Absent {
		s.add(finding{Kind: kind, Repository: repo.String(), Digest: d, Line: s.rules.pos(repo, e.Digest, "").String(), Reason: reason})
	}
	return state == inventory.Absent, nil
}

// extras adds findings for content that no manifest wants.
//
// Content is judged as if it had just been pushed, so that content that belongs to a
// wanted image is not a finding.
func (s *sweep) extras(ctx context.Context, repo name.Repository, d inventory.Tagged, wanted map[string]v1.Hash, known map[v1.Hash]struct{}) error {
	for _, tag := range d.Tags {
		if _, ok := wanted[tag]; ok {
			continue
		}
		if err := s.extra(ctx, finding{Kind: extraTag, Repository: repo.String(), Tag: tag, Digest: d.Digest}, repo); err != nil {
			return err
		}
	}
	if _, child := known[d.Digest]; child || len(d.Tags) > 0 {
		return nil
	}
	return s.extra(ctx, finding{Kind: extraDigest, Repository: repo.String(), Digest: d.Digest}, repo)
}

func (s *sweep) extra(ctx context.Context, f finding, repo name.Repository) error {
	v, err := s.judge(ctx, event.Event{Action: event.Push, Repository: repo, Tag: f.Tag, Digest: f.Digest}, s.rules)
	if err != nil {
		return err
	}
	if v.Outcome == rejected {
		f.Reason = v.Reason
		s.add(f)
	}
	return nil
}
