package promote

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// engine carries out one plan.
type engine struct {
	client    *registry.Client
	sources   *sources
	blobs     *transfer.Blobs
	manifests memo.Tasks[repoDigest]
	written   written
	hosts     []*hostCount // destination hosts
	parts     int          // blobs and children of a manifest that are brought at a time

	mu       sync.Mutex
	warnings []string
}

// newEngine returns an engine for a number of units.
func newEngine(c *registry.Client, s *sources, units int) *engine {
	return &engine{client: c, sources: s, blobs: transfer.New(c, s.from), parts: min(maxParts, max(minParts, minParts*maxUnits/max(1, units)))}
}

// unit is the work on one digest in one destination.
type unit struct {
	dst       name.Repository
	digest    string
	items     []plan.Item     // with their outcome at the end
	referrers []plan.Item     // items of referrers of the digest
	copied    name.Repository // source of the content; zero: the destination has it
	tree      *node
	err       error // of reading tree
	host      *hostCount
	left      *atomic.Int64 // units of the repository that have not ended
}

// carryOut carries out the planned items of a plan and records their outcome in it. It
// returns when all is done, or soon after ctx ends; items that were not begun by then
// are skipped. step is called after each digest of each repository.
func (p *Promotion) carryOut(ctx context.Context, result *plan.Plan, step func()) {
	units, rest := split(result.Items)
	e := newEngine(p.client, p.sources, len(units))
	for _, at := range p.sources.damaged {
		e.blobs.Distrust(at.repo, at.digest)
	}
	e.begin(units)
	e.hosts = countHosts(units)
	p.running.Store(e)
	e.expect(units)
	// The manifests of a source are read before the first write, so that each blob is read
	// once for all hosts. Each source has its own goroutine, so that a slow one delays
	// only what is copied from it.
	sources := map[string][]*unit{}
	for _, u := range units {
		sources[u.copied.RegistryStr()] = append(sources[u.copied.RegistryStr()], u)
	}
	perHost := max(minUnitsPerHost, maxUnits/max(1, len(e.hosts)))
	var all sync.WaitGroup
	for _, group := range sources {
		all.Go(func() {
			e.readTrees(ctx, group)
			byHost(max(1, perHost/len(sources)), group, func(u *unit) string { return u.dst.RegistryStr() }, func(u *unit) {
				e.run(ctx, u)
				e.end(u)
				step()
			})
		})
	}
	all.Wait()
	e.blobs.Wait()
	if ctx.Err() == nil {
		e.readBack(ctx, units)
	}
	result.Items = rest
	for _, u := range units {
		result.Items = append(append(result.Items, u.items...), u.referrers...)
	}
	result.Warnings = append(result.Warnings, e.warnings...)
	result.Sort()
}

// begin announces the work on all repositories. Units are in the order of their
// repositories, as transfer.Blobs.Begin demands.
func (e *engine) begin(units []*unit) {
	slices.SortStableFunc(units, func(a, b *unit) int { return image.CompareRepositories(a.dst, b.dst) })
	left := map[name.Repository]*atomic.Int64{}
	for _, u := range units {
		if left[u.dst] == nil {
			left[u.dst] = &atomic.Int64{}
			e.blobs.Begin(u.dst)
		}
		left[u.dst].Add(1)
		u.left = left[u.dst]
	}
}

// end announces that a unit has ended.
func (e *engine) end(u *unit) {
	u.host.done.Add(1)
	if u.left.Add(-1) == 0 {
		e.blobs.End(u.dst)
	}
}

// skip marks all items that would be written as skipped.
func skip(p *plan.Plan, why string) {
	for i := range p.Items {
		if it := &p.Items[i]; it.Writes() {
			it.Status, it.Error = plan.Skipped, why
		}
	}
}

// split groups the items to be carried out by repository and digest. Referrers are in
// the group of their subject. rest are the other items; package attest writes evidence.
func split(items []plan.Item) (units []*unit, rest []plan.Item) {
	at := map[repoDigest]*unit{}
	for i := range items {
		it := items[i]
		if !it.Writes() || it.Kind == plan.Evidence {
			rest = append(rest, it)
			continue
		}
		key := repoDigest{it.Destination, it.Attached().String()}
		u := at[key]
		if u == nil {
			u = &unit{dst: key.repo, digest: key.digest}
			at[key] = u
			units = append(units, u)
		}
		if it.Kind == plan.Referrer {
			u.referrers = append(u.referrers, it)
			continue
		}
		u.items = append(u.items, it)
		if !it.Present {
			u.copied = it.From
		}
	}
	return units, rest
}

// countUnits returns how many times carryOut will call step.
func countUnits(p *plan.Plan) int {
	units, _ := split(p.Items)
	return len(units)
}

// expect announces all writes, so that the client gets few tokens for them.
func (e *engine) expect(units []*unit) {
	var repos []name.Repository
	from := map[name.Repository]name.Repository{}
	for _, u := range units {
		if _, ok := from[u.dst]; !ok {
			repos = append(repos, u.dst)
			from[u.dst] = name.Repository{}
		}
		if u.copied.RegistryStr() == u.dst.RegistryStr() && from[u.dst] == (name.Repository{}) {
			from[u.dst] = u.copied
		}
	}
	e.client.ExpectWrites(repos, from)
}

// readTrees reads all manifests below the digests to be copied, and announces which
// hosts will need which blob, so that each blob is read once for all hosts.
func (e *engine) readTrees(ctx context.Context, units []*unit) {
	readTrees(ctx, e.sources, units)
	for _, u := range units {
		if u.tree == nil {
			continue
		}
		u.tree.walk(func(n *node) {
			if n.from[0].RegistryStr() == u.dst.RegistryStr() {
				return
			}
			for _, d := range n.content.Blobs {
				e.blobs.Expect(d, u.dst)
			}
		})
	}
}

// readTrees reads all manifests below the digests to be copied, each once.
func readTrees(ctx context.Context, s *sources, units []*unit) {
	var trees memo.Map[repoDigest, *node]
	var g errgroup.Group
	g.SetLimit(maxReads)
	for _, u := range units {
		if u.copied == (name.Repository{}) {
			continue
		}
		g.Go(func() error {
			u.tree, u.err = trees.Do(ctx, repoDigest{u.copied, u.digest}, func() (*node, error) { return s.tree(ctx, u.copied, u.digest) })
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
}

// run carries out one unit and records the outcome in its items.
func (e *engine) run(ctx context.Context, u *unit) {
	err := u.err
	var top *registry.Manifest
	if err == nil && len(u.items) > 0 {
		top, err = e.content(ctx, u)
	}
	if err != nil {
		for _, items := range [][]plan.Item{u.items, u.referrers} {
			for i := range items {
				fail(ctx, &items[i], err)
			}
		}
		return
	}
	u.referrers = e.attach(ctx, u)
	if len(u.items) > 0 {
		tagging{e: e, u: u, top: top}.run(ctx)
	}
}

// fail records the error of an item. An item that an interrupt stopped is skipped.
func fail(ctx context.Context, it *plan.Item, err error) {
	if why := registry.Interruption(ctx, err); why != "" {
		it.Status, it.Error = plan.Skipped, why
		return
	}
	it.Fail(fmt.Sprintf("copying source %s to %s: %v", it.SourceRef(), it.Destination, err), err)
}

func (e *engine) warn(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.warnings = append(e.warnings, text)
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
