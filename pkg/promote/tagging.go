package promote

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// tagsPerPut is how many tags one PUT asks for: every registry that takes several
// takes ten (OCI distribution-spec, "Pushing manifests with tags").
const tagsPerPut = 10

// looks is how often a tag that was just written is looked for: registries that
// copy their state about may be late.
const looks = 5

// tagging puts a unit's manifest and its tags, last of all.
type tagging struct {
	e        *engine
	u        *unit
	top      *registry.Manifest
	attached func(registry.PutResult) error // after each PUT of a referrer; else nil
}

// result is what became of one tag.
type result struct {
	status plan.Status
	text   string
}

// run tags, and splits the unit's items by what became of each tag.
func (t tagging) run(ctx context.Context) {
	results := map[string]result{}
	var write []string
	tagless := false
	for _, it := range t.u.items {
		if len(it.Tags) == 0 {
			tagless = true
		}
		for _, tag := range it.Tags {
			r, free := t.look(ctx, tag, it.Previous)
			if free {
				write = append(write, tag)
			} else {
				results[tag] = r
			}
		}
	}
	if tagless {
		results[""] = t.judge(ctx, t.put(ctx, t.u.digest, nil))
	}
	t.write(ctx, write, results)
	var items []plan.Item
	for _, it := range t.u.items {
		items = append(items, splitItem(it, results)...)
	}
	t.u.items = items
}

// look reads a tag just before it is written: another promoter may have moved it.
func (t tagging) look(ctx context.Context, tag string, previous v1.Hash) (r result, free bool) {
	at, state, err := t.e.client.Resolve(ctx, t.u.dst, tag)
	switch {
	case state == inventory.Unknown:
		return t.judge(ctx, fmt.Errorf("reading tag %s before writing it: %w", tag, err)), false
	case state == inventory.Absent, at == previous:
		return result{}, true
	case at.String() == t.u.digest:
		return result{status: plan.Done}, false
	}
	return result{plan.Refused, fmt.Sprintf("tag %s has moved since it was read: it points to %s", tag, at)}, false
}

// write puts tags: several in one request where the registry does that, else one by one.
func (t tagging) write(ctx context.Context, tags []string, results map[string]result) {
	if len(tags) > 1 {
		t.together(ctx, tags, results)
	}
	for _, tag := range tags {
		if _, known := results[tag]; !known {
			results[tag] = t.judge(ctx, t.put(ctx, tag, nil))
		}
	}
}

// together puts tags several at a time, if the host sets them so. Those that it does
// not confirm are left: each by itself will tell what is wrong, if anything.
func (t tagging) together(ctx context.Context, tags []string, results map[string]result) {
	host := t.u.dst.RegistryStr()
	// Finding out costs a PUT by digest if the answer is no: a copy has one to spend, and
	// one is enough for the host. An error is that of ctx: then nothing is put any more.
	if _, tried := t.e.client.MultiTag(host); !tried && t.u.copied != (name.Repository{}) {
		_ = t.e.multiTag.do(ctx, host, func() error {
			first := tags[:min(len(tags), tagsPerPut)]
			tags = tags[len(first):]
			t.several(ctx, first, results)
			return nil
		})
	}
	for chunk := range slices.Chunk(tags, tagsPerPut) {
		if can, _ := t.e.client.MultiTag(host); !can {
			return
		}
		t.several(ctx, chunk, results)
	}
}

// several puts the manifest by digest with tags, and records those that the registry confirms.
func (t tagging) several(ctx context.Context, tags []string, results map[string]result) {
	var done []string
	err := t.put(ctx, t.u.digest, func(res registry.PutResult) {
		done = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !slices.Contains(res.Tags, tag) })
	}, tags...)
	if err != nil {
		done = nil
	}
	t.e.client.SetMultiTag(t.u.dst.RegistryStr(), len(done) > 0)
	for _, tag := range done {
		results[tag] = result{status: plan.Done}
	}
}

// put puts the manifest under a reference and compares what the registry says with
// what it was sent; if it says nothing, it is asked.
func (t tagging) put(ctx context.Context, ref string, heard func(registry.PutResult), tags ...string) error {
	return wrap(t.e.mending(ctx, t.u.dst, t.u.tree, func() error {
		res, err := t.e.client.Put(ctx, t.u.dst, ref, t.top, tags...)
		if err != nil {
			return err
		}
		if heard != nil {
			heard(res)
		}
		if t.attached != nil {
			if err := t.attached(res); err != nil {
				return err
			}
		}
		if res.Digest != "" {
			return stored(res, t.u.digest)
		}
		return t.confirm(ctx, ref)
	}), "putting manifest")
}

// confirm looks until what was written can be read.
func (t tagging) confirm(ctx context.Context, ref string) error {
	for try := 1; ; try++ {
		at, state, err := t.e.client.Resolve(ctx, t.u.dst, ref)
		switch {
		case state == inventory.Present && at.String() == t.u.digest:
			return nil
		case state == inventory.Present:
			return fmt.Errorf("after writing it %s points to %s", ref, at)
		case state == inventory.Unknown:
			return fmt.Errorf("reading %s after writing it: %w", ref, err)
		case try == looks:
			return fmt.Errorf("%s cannot be read after writing it", ref)
		}
		if err := t.e.client.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// judge turns an error into a result.
func (t tagging) judge(ctx context.Context, err error) result {
	if err == nil {
		return result{status: plan.Done}
	}
	status, text := outcome(ctx, t.u.items[0].SourceRef(), t.u.dst, err)
	return result{status, text}
}

// splitItem divides an item into one for each outcome of its tags.
func splitItem(it plan.Item, results map[string]result) []plan.Item {
	if len(it.Tags) == 0 {
		it.Status, it.Error = results[""].status, results[""].text
		return []plan.Item{it}
	}
	var out []plan.Item
	for _, tag := range it.Tags {
		r := results[tag]
		i := slices.IndexFunc(out, func(o plan.Item) bool { return o.Status == r.status && o.Error == r.text })
		if i < 0 {
			next := it
			next.Status, next.Error, next.Tags = r.status, r.text, nil
			out = append(out, next)
			i = len(out) - 1
		}
		out[i].Tags = append(out[i].Tags, tag)
	}
	return out
}
