package promote

import (
	"context"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// attach carries out the referrer items of a unit. It runs after the content of the
// subject is written and before its tags, so that a client that verifies on pull finds
// the signature.
func (e *engine) attach(ctx context.Context, u *unit) []plan.Item {
	var out []plan.Item
	for _, it := range u.referrers {
		r := &unit{dst: u.dst, digest: it.Digest.String(), items: []plan.Item{it}, copied: it.From}
		t := tagging{e: e, u: r}
		var err error
		if t.top, err = e.bringReferrer(ctx, r); err == nil {
			t.attached = func(res registry.PutResult) error { return e.linked(ctx, r, res) }
			t.run(ctx)
		} else {
			fail(ctx, &r.items[0], err)
		}
		out = append(out, r.items...)
	}
	return out
}

// bringReferrer brings the content of a referrer's manifest, and returns the manifest.
func (e *engine) bringReferrer(ctx context.Context, r *unit) (*registry.Manifest, error) {
	e.sources.mu.Lock()
	union, known := e.sources.unions[r.digest], e.sources.known[r.digest]
	e.sources.mu.Unlock()
	if union == nil {
		tree, err := e.sources.tree(ctx, r.copied, r.digest)
		if err != nil {
			return nil, err
		}
		r.tree = tree
		return e.content(ctx, r)
	}
	for _, l := range union.layers {
		if err := e.blobs.Place(ctx, r.dst, union.from, l); err != nil {
			return nil, err
		}
	}
	if union.config != nil {
		if err := e.blobs.Send(ctx, r.dst, union.conf, union.config); err != nil {
			return nil, err
		}
	}
	return e.sources.manifest(known)
}

// linked adds a referrer to the fallback tag of its subject, unless the registry keeps
// the list itself.
func (e *engine) linked(ctx context.Context, r *unit, res registry.PutResult) error {
	if r.tree == nil || r.tree.content.Subject == nil {
		return nil
	}
	m, err := e.sources.manifest(r.tree.loaded)
	if err != nil {
		return err
	}
	return e.client.LinkReferrer(ctx, r.dst, m, res)
}
