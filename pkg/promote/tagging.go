package promote

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// tagging puts the manifest and the tags of a unit.
type tagging struct {
	e        *engine
	u        *unit
	top      *registry.Manifest
	attached func(registry.PutResult) error // called after each PUT of a referrer; may be nil
}

// run puts the manifest under each tag, and records the outcome in the items of the unit.
func (t tagging) run(ctx context.Context) {
	for i := range t.u.items {
		it := &t.u.items[i]
		if it.Tag == "" {
			judge(ctx, it, t.digest(ctx))
		} else {
			judge(ctx, it, t.tag(ctx, it.Tag, it.Previous))
		}
	}
}

// movedError is the error of a tag that has moved since the plan was made.
type movedError struct {
	tag string
	at  v1.Hash
}

// Error names the tag and its new digest.
func (e *movedError) Error() string {
	return fmt.Sprintf("tag %s has moved since it was read: it points to %s", e.tag, e.at)
}

// tag puts the manifest under a tag, unless the tag has moved since the plan was made.
func (t tagging) tag(ctx context.Context, tag string, previous v1.Hash) error {
	return t.put(ctx, writing{repo: t.u.dst, ref: tag, tag: tag, digest: t.u.digest, was: previous}, func() (registry.PutResult, error) {
		return t.e.client.PutTag(ctx, t.u.dst, tag, t.top, func(at v1.Hash) error {
			if at != (v1.Hash{}) && at != previous {
				return &movedError{tag, at}
			}
			return nil
		})
	})
}

// digest puts the manifest without a tag.
func (t tagging) digest(ctx context.Context) error {
	return t.put(ctx, writing{repo: t.u.dst, ref: t.u.digest, digest: t.u.digest}, func() (registry.PutResult, error) {
		return t.e.client.Put(ctx, t.u.dst, t.top.Digest, t.top)
	})
}

// put puts the manifest, compares the digest in the answer, and records the PUT to be
// read back.
func (t tagging) put(ctx context.Context, w writing, put func() (registry.PutResult, error)) error {
	return wrap(t.e.restoring(ctx, t.u.dst, t.u.tree, func() error {
		res, err := put()
		if err != nil {
			return err
		}
		if t.attached != nil {
			if err := t.attached(res); err != nil {
				return err
			}
		}
		if err := res.Stored(image.Hash(t.u.digest)); err != nil {
			return err
		}
		if !res.There {
			t.e.written.add(w, res.Took)
		}
		return nil
	}), "putting manifest")
}

// judge records the outcome of an item.
func judge(ctx context.Context, it *plan.Item, err error) {
	var moved *movedError
	switch {
	case err == nil:
		it.Status, it.Error = plan.Done, ""
	case errors.As(err, &moved):
		it.Status, it.Error = plan.Refused, moved.Error()
	default:
		fail(ctx, it, err)
	}
}
