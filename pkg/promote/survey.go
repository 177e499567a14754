package promote

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Limits of concurrency. They bound memory; the pace of each host bounds its requests.
const (
	maxReads        = 96  // repositories per host that are read at a time, mostly with one request each
	maxUnits        = 100 // units at a time, with several requests each; divided among the hosts…
	minUnitsPerHost = 8   // …but each host gets at least this many
	maxParts        = 32  // blobs and children of a manifest at a time…
	minParts        = 3   // …or only this many where many units are worked on
)

// resolveTags reads the source tags of retag entries, with one HEAD each. Tags that are
// not found are confirmed at the end, when it is known whether HEAD works on the host.
func (s *sources) resolveTags(ctx context.Context, tags []plan.SourceTag) map[plan.SourceTag]plan.Resolution {
	host := func(t plan.SourceTag) string { return t.Repository.RegistryStr() }
	byHost(maxReads, tags, host, func(t plan.SourceTag) { s.head(ctx, t) })
	out := make(map[plan.SourceTag]plan.Resolution, len(tags))
	var mu sync.Mutex
	byHost(maxReads, tags, host, func(t plan.SourceTag) {
		r := s.resolve(ctx, t)
		mu.Lock()
		defer mu.Unlock()
		out[t] = r
	})
	return out
}

// survey reads the repository of every target, asks the sources for the missing digests,
// and returns the plan. step is called after each target. A read that fails becomes an
// item of the plan. After ctx has ended, all reads fail.
func (p *Promotion) survey(ctx context.Context, w *plan.Wanted, step func()) *plan.Plan {
	result := &plan.Plan{Items: slices.Clone(w.Invalid)}
	p.client.ExpectReads(repositories(w))
	var mu sync.Mutex
	byHost(maxReads, w.Targets, func(t *plan.Target) string { return t.Repository.RegistryStr() }, func(t *plan.Target) {
		items, upToDate := p.surveyTarget(ctx, t)
		if ctx.Err() != nil {
			interrupt(items)
		}
		mu.Lock()
		defer mu.Unlock()
		result.Items = append(result.Items, items...)
		result.UpToDate += upToDate
		step()
	})
	result.Sort()
	return result
}

// interrupt marks items that could not be read as skipped.
func interrupt(items []plan.Item) {
	for i := range items {
		if items[i].Action == plan.Unreadable {
			items[i].Status, items[i].Error, items[i].Retryable = plan.Skipped, "interrupted", false
		}
	}
}

// surveyTarget plans one target.
func (p *Promotion) surveyTarget(ctx context.Context, t *plan.Target) (items []plan.Item, upToDate int) {
	have := &inventory.Repository{}
	switch {
	case t.InPlace():
		have = p.client.ReadTags(ctx, t.Repository, t.Tags())
	case len(t.Want.Entries) == 0:
	case p.job.Estimate.isEmpty(t.Repository):
		have = p.assumed(t)
	default:
		var err error
		if have, err = p.client.Read(ctx, t.Repository, t.Want.Digests()); err != nil {
			return plan.Unread(t, fmt.Errorf("reading destination %s: %w", t.Repository, err)), 0
		}
	}
	return plan.Compute(t, have, p.findLacking(ctx, t, have))
}

// findLacking asks the sources for the digests that a target does not have. If no source
// has a digest, the destination is asked for it by digest.
func (p *Promotion) findLacking(ctx context.Context, t *plan.Target, have *inventory.Repository) plan.Found {
	p.sources.see(t, have)
	lack := plan.Lacking(t, have)
	found := plan.Found{Digests: map[v1.Hash]plan.Finding{}, Pins: p.sources.resolveTags(ctx, lack.Pins)}
	p.sources.see(t, have)                  // the digests of the pins that were read
	states := map[v1.Hash]inventory.State{} // at the destination
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(maxReads)
	for _, e := range lack.Entries {
		if have.Digest(e.Digest) == inventory.Present {
			continue
		}
		g.Go(func() error {
			f := p.sources.find(ctx, e, t.Repository)
			there := inventory.Unknown
			if f.State == inventory.Absent && have.Digest(e.Digest) == inventory.Unknown {
				var err error
				if there, err = p.client.Has(ctx, t.Repository, e.Digest); err != nil {
					f = plan.Finding{State: inventory.Unknown, Err: fmt.Errorf("asking the destination: %w", err)}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			found.Digests[e.Digest] = f
			states[e.Digest] = there
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	for d, there := range states {
		if there != inventory.Unknown {
			have.SetDigest(d, there)
		}
	}
	return found
}

// repositories returns all repositories that survey may read.
func repositories(w *plan.Wanted) []name.Repository {
	seen := map[name.Repository]struct{}{}
	var all []name.Repository
	add := func(r name.Repository) {
		if _, ok := seen[r]; !ok {
			seen[r] = struct{}{}
			all = append(all, r)
		}
	}
	for _, t := range w.Targets {
		add(t.Repository)
	}
	sources := map[*plan.Source]struct{}{}
	for _, t := range w.Targets {
		for i := range t.Want.Entries {
			for _, src := range t.Want.Entries[i].Sources {
				if _, known := sources[src]; known {
					continue
				}
				sources[src] = struct{}{}
				add(src.Repository)
				for _, m := range src.Mirrors {
					add(m)
				}
			}
		}
	}
	return all
}

// byHost calls f for all items, and waits. At most limit calls per host run at a time,
// so that a slow host does not delay another one.
func byHost[T any](limit int, items []T, host func(T) string, f func(T)) {
	queues := map[string][]T{}
	for _, it := range items {
		h := host(it)
		queues[h] = append(queues[h], it)
	}
	var all sync.WaitGroup
	for _, queue := range queues {
		all.Go(func() {
			var g errgroup.Group
			g.SetLimit(limit)
			for _, it := range queue {
				g.Go(func() error {
					f(it)
					return nil
				})
			}
			_ = g.Wait()
		})
	}
	all.Wait()
}
