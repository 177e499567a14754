package promote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"cip/pkg/image"
	"cip/pkg/inventory"
	"cip/pkg/plan"
	"cip/pkg/registry"
)

// engine carries one plan out.
type engine struct {
	client    *registry.Client
	sources   *Sources
	blobs     *blobs
	manifests flights[place]
	written   written
	fallback  locks[image.Repository] // held while a referrers tag of the repository is changed

	mu       sync.Mutex
	warnings []string
}

// unit is the work on one digest in one destination repository.
type unit struct {
	dst       image.Repository
	digest    string
	items     []plan.Item      // to be carried out; afterwards, what became of them
	referrers []plan.Item      // likewise, of what belongs to the digest
	copied    image.Repository // source of the content; zero: it is there
	tree      *node
	err       error // of reading the tree
}

// Run carries out the items of a plan that are planned and records in the plan
// what became of each. It returns when all is done, or soon after ctx ends: what
// was not begun by then is skipped. step is called after each digest of each
// repository.
func Run(ctx context.Context, c *registry.Client, s *Sources, p *plan.Plan, step func()) {
	e := &engine{client: c, sources: s, blobs: newBlobs(c)}
	for _, at := range s.damaged {
		e.blobs.distrust(at)
	}
	units, rest := split(p.Items)
	e.expect(units)
	// Manifests are read before the first write, so that each blob is read once for all
	// hosts; a source that is slow holds up only what is copied from it.
	sources := map[string][]*unit{}
	for _, u := range units {
		sources[u.copied.Host] = append(sources[u.copied.Host], u)
	}
	var all sync.WaitGroup
	for _, group := range sources {
		all.Go(func() {
			e.readTrees(ctx, group)
			byHost(max(1, share(units)/len(sources)), group, func(u *unit) string { return u.dst.Host }, func(u *unit) {
				e.carryOut(ctx, u)
				step()
			})
		})
	}
	all.Wait()
	e.blobs.running.Wait()
	if ctx.Err() == nil {
		e.readBack(ctx, units)
	}
	p.Items = rest
	for _, u := range units {
		p.Items = append(append(p.Items, u.items...), u.referrers...)
	}
	p.Warnings = append(p.Warnings, e.warnings...)
	p.Sort()
}

// share returns how many units of each host are worked on at once.
func share(units []*unit) int {
	hosts := map[string]struct{}{}
	for _, u := range units {
		hosts[u.dst.Host] = struct{}{}
	}
	return max(unitsPerHost, unitsAtOnce/max(1, len(hosts)))
}

// Skip marks everything that would be written as not tried.
func Skip(p *plan.Plan, why string) {
	for i := range p.Items {
		if it := &p.Items[i]; it.Writes() {
			it.Status, it.Error = plan.Skipped, why
		}
	}
}

// split gathers the items to be carried out by repository and digest, referrers with their subject.
func split(items []plan.Item) (units []*unit, rest []plan.Item) {
	at := map[place]*unit{}
	for i := range items {
		it := items[i]
		if !it.Writes() {
			rest = append(rest, it)
			continue
		}
		key := place{it.Destination, string(it.Attached())}
		u := at[key]
		if u == nil {
			u = &unit{dst: key.repo, digest: key.digest}
			at[key] = u
			units = append(units, u)
		}
		if it.Referrer {
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

// Units returns how many steps Run will take.
func Units(p *plan.Plan) int {
	units, _ := split(p.Items)
	return len(units)
}

// expect prepares the tokens of all writes.
func (e *engine) expect(units []*unit) {
	var repos []image.Repository
	from := map[image.Repository]image.Repository{}
	for _, u := range units {
		if _, ok := from[u.dst]; !ok {
			repos = append(repos, u.dst)
			from[u.dst] = image.Repository{}
		}
		if u.copied.Host == u.dst.Host && from[u.dst].IsZero() {
			from[u.dst] = u.copied
		}
	}
	e.client.ExpectWrites(repos, from)
}

// readTrees reads the manifests below everything that is copied, and tells the
// blobs who will need them: only so can each be read once for all hosts.
func (e *engine) readTrees(ctx context.Context, units []*unit) {
	type read struct {
		tree *node
		err  error
	}
	var trees memo[place, read]
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, u := range units {
		if u.copied.IsZero() {
			continue
		}
		g.Go(func() error {
			r, err := trees.do(ctx, place{u.copied, u.digest}, func() (r read) {
				r.tree, r.err = e.sources.tree(ctx, u.copied, u.digest)
				return r
			})
			u.tree, u.err = r.tree, errors.Join(r.err, err)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	for _, u := range units {
		if u.tree == nil {
			continue
		}
		u.tree.walk(func(n *node) {
			if n.from[0].Host == u.dst.Host {
				return
			}
			for _, d := range n.content.Blobs {
				e.blobs.expect(d, u.dst)
			}
		})
	}
}

// carryOut does the work of one unit and records the outcome in its items.
func (e *engine) carryOut(ctx context.Context, u *unit) {
	err := u.err
	var top *registry.Manifest
	if err == nil && len(u.items) > 0 {
		top, err = e.content(ctx, u)
	}
	if err != nil {
		for _, items := range [][]plan.Item{u.items, u.referrers} {
			for i := range items {
				items[i].Status, items[i].Error = outcome(ctx, items[i].SourceRef(), u.dst, err)
			}
		}
		return
	}
	u.referrers = e.attach(ctx, u)
	if len(u.items) > 0 {
		tagging{e: e, u: u, top: top}.run(ctx)
	}
}

// outcome returns the status and error text of an item that failed.
func outcome(ctx context.Context, source string, dst image.Repository, err error) (plan.Status, string) {
	var unanswered *registry.UnansweredError
	switch {
	case ctx.Err() != nil && errors.As(err, &unanswered):
		return plan.Skipped, err.Error()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return plan.Skipped, "interrupted"
	}
	return plan.Failed, fmt.Sprintf("copying source %s to %s: %v", source, dst, err)
}

// content brings everything below a unit's manifest into the repository, and returns the manifest.
func (e *engine) content(ctx context.Context, u *unit) (*registry.Manifest, error) {
	if u.copied.IsZero() {
		return e.atHand(ctx, u)
	}
	if err := e.below(ctx, u.dst, u.tree); err != nil {
		return nil, err
	}
	return e.sources.manifest(u.tree.loaded)
}

// atHand returns the manifest of a digest that the destination holds.
func (e *engine) atHand(ctx context.Context, u *unit) (*registry.Manifest, error) {
	if known := e.sources.kept(u.digest); known != nil {
		return e.sources.manifest(known)
	}
	m, err := e.client.Manifest(ctx, u.dst, u.digest)
	return m, wrap(err, "reading the manifest from the destination")
}

// below places the blobs of a manifest, and puts the manifests below it, deepest first.
func (e *engine) below(ctx context.Context, dst image.Repository, n *node) error {
	var g errgroup.Group // without a context: what one blob's failure stops might be another image's blob
	g.SetLimit(32)
	for _, d := range n.content.Blobs {
		g.Go(func() error { return e.blob(ctx, dst, n, d) })
	}
	for _, child := range n.children {
		g.Go(func() error { return e.child(ctx, dst, child) })
	}
	if len(n.missing) > 0 {
		g.Go(func() error { return e.sparse(ctx, dst, n) })
	}
	return g.Wait()
}

// blob places one blob: from where its manifest was read, or else, if it cannot be
// read there, from where else it may be. A foreign layer that no source serves is left out.
func (e *engine) blob(ctx context.Context, dst image.Repository, n *node, d registry.Descriptor) error {
	var err error
	for i, from := range n.from {
		next := e.blobs.place(ctx, dst, from, d)
		if next == nil && i > 0 {
			e.sources.passOver("source", n.from[0], err)
		}
		if next == nil {
			return nil
		}
		if i == 0 || !errors.Is(next, registry.ErrNotFound) {
			err = next // that the others lack it explains less than what the first said
		}
		var unread *unreadError
		if !errors.As(next, &unread) || ctx.Err() != nil {
			break
		}
	}
	if d.Foreign() && errors.Is(err, registry.ErrNotFound) {
		e.warn(fmt.Sprintf("%s: foreign layer %s is left out: the source %s does not serve it", dst.String()+"@"+n.digest, d.Digest, n.from[0]))
		return nil
	}
	return err
}

// sparse deals with the children that the source lacks: the index is put without those
// that the destination has not, either.
func (e *engine) sparse(ctx context.Context, dst image.Repository, n *node) error {
	there := make([]inventory.State, len(n.missing))
	var g errgroup.Group
	g.SetLimit(32)
	for i, digest := range n.missing {
		g.Go(func() (err error) {
			there[i], err = e.client.Has(ctx, dst, digest)
			return wrap(err, "looking for child %s", digest)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var lost []string
	for i, digest := range n.missing {
		if there[i] != inventory.Present {
			lost = append(lost, digest)
		}
	}
	head := fmt.Sprintf("%s@%s: the source %s lacks", dst, n.digest, n.from[0])
	switch len(lost) {
	case 0:
	case 1:
		e.warn(fmt.Sprintf("%s the child %s: the index is promoted without it", head, lost[0]))
	default:
		e.warn(fmt.Sprintf("%s %d children, %s among them: the index is promoted without them", head, len(lost), lost[0]))
	}
	return nil
}

// child puts a manifest by digest, once a run, after everything below it.
func (e *engine) child(ctx context.Context, dst image.Repository, n *node) error {
	return e.manifests.do(ctx, place{dst, n.digest}, func() error {
		if err := e.below(ctx, dst, n); err != nil {
			return err
		}
		m, err := e.sources.manifest(n.loaded)
		if err != nil {
			return err
		}
		return wrap(e.put(ctx, dst, n, m), "putting manifest %s", n.digest)
	})
}

// put puts a manifest by digest.
func (e *engine) put(ctx context.Context, dst image.Repository, n *node, m *registry.Manifest) error {
	return e.restoring(ctx, dst, n, func() error {
		res, err := e.client.Put(ctx, dst, m.Digest, m)
		if err != nil {
			return err
		}
		return stored(res, m.Digest)
	})
}

// putTries is how often a manifest is put that the registry refuses for want of
// something it names.
const putTries = 3

// restoring runs a manifest PUT, and again after bringing back what the registry says
// that it lacks. A garbage collection can come between blob and manifest; and a registry
// may say that it holds a blob, or mount it, which its storage has lost. So what it
// lacks even then is sent without asking.
func (e *engine) restoring(ctx context.Context, dst image.Repository, n *node, put func() error) error {
	for try := 1; ; try++ {
		err := put()
		var answer *registry.Error
		if err == nil || n == nil || try == putTries || !errors.As(err, &answer) || !lacks(answer, n) {
			return err
		}
		for _, d := range n.content.Blobs {
			e.blobs.forget(dst, d, try > 1)
		}
		for _, c := range n.children {
			e.manifests.forget(place{dst, c.digest})
		}
		if err := e.client.Pause(ctx, try); err != nil {
			return err
		}
		if again := e.below(ctx, dst, n); again != nil {
			return errors.Join(err, again)
		}
	}
}

// lacks reports whether a registry refused a manifest for want of something it names:
// it says so by a code, or names that.
func lacks(e *registry.Error, n *node) bool {
	switch e.Code {
	case "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN":
		return true
	}
	switch {
	case e.Status == http.StatusNotFound:
		return e.Code != "NAME_UNKNOWN"
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, e.Status == http.StatusTooManyRequests:
		return false
	}
	text := e.Message + e.Detail
	named := func(digest string) bool { return strings.Contains(text, digest) }
	return slices.ContainsFunc(n.content.Blobs, func(d registry.Descriptor) bool { return named(d.Digest) }) ||
		slices.ContainsFunc(n.children, func(c *node) bool { return named(c.digest) })
}

// stored compares the digest a registry says it stored with the one it was sent.
func stored(res registry.PutResult, digest string) error {
	if res.Digest != "" && res.Digest != digest {
		return fmt.Errorf("the registry stored it under another digest, %.100q", res.Digest)
	}
	return nil
}

func (e *engine) warn(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.warnings = append(e.warnings, text)
}
