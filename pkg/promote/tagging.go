package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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

// result is the outcome of one tag.
type result struct {
	status plan.Status
	text   string
}

// run puts the manifest under each tag, and splits the items of the unit by outcome.
func (t tagging) run(ctx context.Context) {
	results := map[string]result{}
	for _, it := range t.u.items {
		if len(it.Tags) == 0 {
			results[""] = t.judge(ctx, t.digest(ctx))
		}
		for _, tag := range it.Tags {
			results[tag] = t.judge(ctx, t.tag(ctx, tag, it.Previous))
		}
	}
	t.u.items = divide(t.u.items, func(_ plan.Item, tag string) (result, bool) {
		r, ok := results[tag]
		return r, ok
	})
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
		if err := stored(res, t.u.digest); err != nil {
			return err
		}
		if !res.There {
			t.e.written.add(w, res.Took)
		}
		return nil
	}), "putting manifest")
}

// judge turns an error into a result.
func (t tagging) judge(ctx context.Context, err error) result {
	var moved *movedError
	switch {
	case err == nil:
		return result{status: plan.Done}
	case errors.As(err, &moved):
		return result{plan.Refused, moved.Error()}
	}
	status, text := outcome(ctx, t.u.items[0].SourceRef(), t.u.dst, err)
	return result{status, text}
}

// divide splits items by the results of their tags. The tag of a tagless item is "". A
// tag without a result keeps its status.
func divide(items []plan.Item, of func(it plan.Item, tag string) (result, bool)) []plan.Item {
	var out []plan.Item
	for _, it := range items {
		tags := it.Tags
		if len(tags) == 0 {
			tags = []string{""}
		}
		first := len(out) // index of the first item that it is split into
		for _, tag := range tags {
			r, ok := of(it, tag)
			if !ok {
				r = result{it.Status, it.Error}
			}
			i := first + slices.IndexFunc(out[first:], func(o plan.Item) bool { return o.Status == r.status && o.Error == r.text })
			if i < first {
				next := it
				next.Status, next.Error, next.Tags = r.status, r.text, nil
				out = append(out, next)
				i = len(out) - 1
			}
			if tag != "" {
				out[i].Tags = append(out[i].Tags, tag)
			}
		}
	}
	return out
}
