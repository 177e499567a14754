package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

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

// linked adds a referrer to the fallback tag of its subject, unless the registry has
// answered that it keeps the list itself (OCI distribution-spec, "Pushing manifests
// with subject").
func (e *engine) linked(ctx context.Context, r *unit, res registry.PutResult) error {
	if res.Subject || r.tree == nil || r.tree.content.Subject == nil {
		return nil
	}
	m, err := e.sources.manifest(r.tree.loaded)
	if err != nil {
		return err
	}
	subject := r.tree.content.Subject.Digest
	defer e.fallback.lock(r.dst)() // the tag is read, changed and written
	return wrap(e.addReferrer(ctx, r.dst, registry.FallbackTag(subject), m), "listing it under its subject's tag")
}

// errChanged is the error of a tag that another client has written since it was read.
var errChanged = errors.New("it was written by somebody else, again and again")

// addReferrer adds a manifest to the index under a fallback tag. It keeps the entries of
// other clients, and starts again if one of them writes the tag in between.
func (e *engine) addReferrer(ctx context.Context, dst name.Repository, tag string, m *registry.Manifest) error {
	for try := 1; ; try++ {
		was, next, err := e.withReferrer(ctx, dst, tag, m)
		if next == nil || err != nil {
			return err
		}
		res, err := e.client.PutTag(ctx, dst, tag, next, func(at v1.Hash) error {
			if at != was {
				return errChanged
			}
			return nil
		})
		switch {
		case err == nil:
			return stored(res, next.Digest.String())
		case !errors.Is(err, errChanged) || try == readBackTries:
			return err
		}
		if err := e.client.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// withReferrer returns the digest that a fallback tag points to, and its index with the
// manifest added. The index is nil if it lists the manifest already.
func (e *engine) withReferrer(ctx context.Context, dst name.Repository, tag string, m *registry.Manifest) (was v1.Hash, next *registry.Manifest, err error) {
	index := fallbackIndex{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + types.OCIImageIndex + `"`)}
	var all []json.RawMessage
	have, err := e.client.Manifest(ctx, dst, tag)
	switch {
	case errors.Is(err, registry.ErrNotFound):
	case err != nil:
		return v1.Hash{}, nil, err
	default:
		was = have.Digest
		if err := json.Unmarshal(have.Raw, &index); err != nil {
			return v1.Hash{}, nil, fmt.Errorf("parsing tag %s: %w", tag, err)
		}
		if err := json.Unmarshal(index["manifests"], &all); err != nil {
			return v1.Hash{}, nil, fmt.Errorf("parsing tag %s: %w", tag, err)
		}
	}
	for _, raw := range all {
		var d v1.Descriptor
		if json.Unmarshal(raw, &d) == nil && d.Digest == m.Digest {
			return was, nil, nil
		}
	}
	entry, err := m.ReferrerDescriptor()
	if err != nil {
		return v1.Hash{}, nil, err
	}
	raw, err := encode(entry)
	if err != nil {
		return v1.Hash{}, nil, err
	}
	if index["manifests"], err = encode(append(all, raw)); err != nil {
		return v1.Hash{}, nil, err
	}
	if raw, err = encode(index); err != nil {
		return v1.Hash{}, nil, err
	}
	return was, &registry.Manifest{Raw: raw, MediaType: types.OCIImageIndex, Digest: registry.DigestOf(raw)}, nil
}

// fallbackIndex is an index that keeps unknown fields.
type fallbackIndex map[string]json.RawMessage

// locks are mutexes by key.
type locks[K comparable] struct {
	mu  sync.Mutex
	all map[K]*sync.Mutex
}

// lock locks a key's mutex, and returns its Unlock.
func (l *locks[K]) lock(key K) (unlock func()) {
	l.mu.Lock()
	if l.all == nil {
		l.all = map[K]*sync.Mutex{}
	}
	one := l.all[key]
	if one == nil {
		one = &sync.Mutex{}
		l.all[key] = one
	}
	l.mu.Unlock()
	one.Lock()
	return one.Unlock
}
