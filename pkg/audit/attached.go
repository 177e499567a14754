package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// attachedTags returns a source's tags that hold what belongs to digests, with their
// digest where the list tells it.
func (f *family) attachedTags(ctx context.Context, src name.Repository) (map[string]v1.Hash, error) {
	list, err := f.client.List(ctx, src, func(tag string) bool { _, _, ok := attachedTo(tag); return ok })
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing tags of source %s: %w", src, err)
	}
	return list.ByTag(), nil
}

// cosigned returns the wanted digest to which a source's tag says that d belongs.
func (f *family) cosigned(ctx context.Context, src name.Repository, d v1.Hash, entries []wantedEntry) (*link, error) {
	tags, err := f.attachedTags(ctx, src)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		base := registry.FallbackTag(entries[i].Digest)
		for _, suffix := range append([]string{""}, image.CosignSuffixes()...) {
			tag := base + suffix
			has, listed := tags[tag]
			if listed && has == (v1.Hash{}) {
				var state inventory.State
				if has, state, err = f.client.ResolveListed(ctx, src, tag); state == inventory.Unknown {
					return nil, fmt.Errorf("reading source %s: %w", src.Tag(tag).String(), err)
				}
			}
			if has == d {
				return &link{&entries[i], fmt.Sprintf("%s belongs to %s", src.Tag(tag).String(), entries[i].Digest)}, nil
			}
		}
	}
	return nil, nil
}

// attached judges a tag that holds what belongs to a digest: the digest has to be
// wanted, and the source to hold the same under that tag. Where promotions unite
// both sides, each part has to be the source's.
func (q *inquirer) attached(ctx context.Context, v Verdict, r *Rules, open question) (Verdict, error) {
	e := v.Event
	entries, err := q.entries(ctx, e.Repository, r)
	if err != nil {
		return v, err
	}
	link, err := q.family.explain(ctx, e.Repository, open.subject, entries)
	switch {
	case err != nil:
		return v, err
	case link == nil:
		v.Reason = fmt.Sprintf("belongs to %s, which no manifest wants here", open.subject)
		return v, nil
	}
	found, state, err := q.client.Resolve(ctx, e.Repository, e.Tag)
	switch state {
	case inventory.Unknown:
		return v, fmt.Errorf("reading destination %s: %w", e.Repository.Tag(e.Tag).String(), err)
	case inventory.Absent:
		return q.unseen(v)
	}
	v.Found = found
	for _, src := range sourcesOf(e.Repository, entries) {
		same, err := q.same(ctx, e.Repository, src, e.Tag, found, open.suffix)
		if err != nil {
			return v, fmt.Errorf("comparing %s with source %s: %w", e.Repository.Tag(e.Tag).String(), src, err)
		}
		if same {
			v.Outcome, v.Allowed = Verified, link.to.line(r, e.Repository)
			v.Reason = fmt.Sprintf("agrees with manifest %s: belongs to %s, and source %s has it", v.Allowed, open.subject, src)
			return v, nil
		}
	}
	v.Reason = fmt.Sprintf("belongs to %s, but no source holds what is there now, %s", open.subject, found)
	if q.young(e, settleTime) {
		return v, &unsettledError{v.Reason}
	}
	return v, nil
}

// same reports whether a source holds what a destination's tag points to.
func (q *inquirer) same(ctx context.Context, dst, src name.Repository, tag string, found v1.Hash, suffix string) (bool, error) {
	has, state, err := q.client.Resolve(ctx, src, tag)
	if state != inventory.Present {
		return false, err
	}
	if has == found {
		return true, nil
	}
	switch suffix {
	case image.SBOMSuffix:
		return false, nil
	case "":
		return q.sameReferrers(ctx, dst, src, found)
	}
	theirs, err := q.layers(ctx, src, has)
	if err != nil {
		return false, err
	}
	ours, err := q.layers(ctx, dst, found)
	if err != nil {
		return false, err
	}
	if len(ours) == 0 {
		return false, nil // something else stands under the tag
	}
	maps.DeleteFunc(ours, func(l string, _ struct{}) bool { _, ok := theirs[l]; return ok })
	return len(ours) == 0, nil
}

// sameReferrers reports whether a source holds each manifest that a list of referrers names.
func (q *inquirer) sameReferrers(ctx context.Context, dst, src name.Repository, list v1.Hash) (bool, error) {
	m, err := q.family.members(ctx, []name.Repository{dst}, list)
	if err != nil || m == nil || len(m.children) == 0 {
		return false, err // something else stands under the tag
	}
	for _, d := range m.children {
		state, err := q.client.Has(ctx, src, d)
		if state != inventory.Present {
			return false, err
		}
	}
	return true, nil
}

// layers returns the layers of a signature or attestation, each with its
// annotations, which hold the signature itself.
func (q *inquirer) layers(ctx context.Context, repo name.Repository, d v1.Hash) (map[string]struct{}, error) {
	m, err := q.client.Manifest(ctx, repo, d.String())
	if err != nil {
		return nil, err
	}
	var doc struct {
		Layers []v1.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", repo.Digest(d.String()).String(), err)
	}
	all := map[string]struct{}{}
	for _, l := range doc.Layers {
		annotations, err := json.Marshal(l.Annotations) // maps marshal in order
		if err != nil {
			return nil, err
		}
		all[l.Digest.String()+string(annotations)] = struct{}{}
	}
	return all, nil
}
