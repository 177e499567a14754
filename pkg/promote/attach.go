package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// attach carries out the referrer items of a unit, after the subject's content is
// there and before its tags: who verifies on pull finds the signature.
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
			r.items[0].Status, r.items[0].Error = outcome(ctx, it.SourceRef(), u.dst, err)
		}
		out = append(out, r.items...)
	}
	return out
}

// bringReferrer brings what a referrer's manifest needs, and returns the manifest.
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

// linked sees to it that a referrer can be found from its subject: where the
// registry does not say that it links them, the subject's fallback tag does (OCI
// distribution-spec, "Pushing manifests with subject").
func (e *engine) linked(ctx context.Context, r *unit, res registry.PutResult) error {
	if res.Subject || r.tree == nil || r.tree.content.Subject == nil {
		return nil
	}
	m, err := e.sources.manifest(r.tree.loaded)
	if err != nil {
		return err
	}
	subject := r.tree.content.Subject.Digest.String()
	defer e.fallback.lock(r.dst)() // a read, a change and a write: one at a time
	return wrap(e.addReferrer(ctx, r.dst, registry.FallbackTag(subject), m), "listing it under its subject's tag")
}

// errChanged is a tag that somebody else has written since it was read.
var errChanged = errors.New("it was written by somebody else, again and again")

// addReferrer adds a manifest to the index under a fallback tag, keeping what others
// put there: also what they put there since it was read.
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
		case !errors.Is(err, errChanged) || try == looks:
			return err
		}
		if err := e.client.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// withReferrer returns what a fallback tag points to, and an index with the manifest
// added to that; nil if it is listed there.
func (e *engine) withReferrer(ctx context.Context, dst name.Repository, tag string, m *registry.Manifest) (was v1.Hash, next *registry.Manifest, err error) {
	index := fallbackIndex{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + registry.TypeIndex + `"`)}
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
	return was, &registry.Manifest{Raw: raw, MediaType: registry.TypeIndex, Digest: image.Hash(registry.DigestOf(raw))}, nil
}

// fallbackIndex is an index whose unknown fields are kept.
type fallbackIndex map[string]json.RawMessage

// locks are mutexes by key.
type locks[K comparable] struct {
	mu  sync.Mutex
	all map[K]*sync.Mutex
}

// lock locks the mutex of a key, and returns its Unlock.
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
