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

// attachedTags returns the tags of a source that are attached to digests.
//
// Their values are zero if the list of tags has no digests.
func (f *relations) attachedTags(ctx context.Context, src name.Repository) (map[string]v1.Hash, error) {
	list, err := f.client.List(ctx, src, func(tag string) bool { _, _, ok := attachedTo(tag); return ok })
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing tags of source %s: %w", src, err)
	}
	return list.ByTag(), nil
}

// cosigned returns a link to the wanted digest that d is attached to, or nil.
//
// d is attached to a digest if a tag of the source says so.
func (f *relations) cosigned(ctx context.Context, src name.Repository, d v1.Hash, entries []wantedEntry) (*link, error) {
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

// attached judges the push of a tag that is attached to a digest.
//
// The digest must be wanted, and the source must have the same content under the
// tag. Promotions merge signatures and lists of referrers of both sides: of these,
// each part must be in the source.
func (q *inquirer) attached(ctx context.Context, v verdict, r *rules, open question) (verdict, error) {
	e := v.Event
	entries, err := q.entries(ctx, e.Repository, r)
	if err != nil {
		return v, err
	}
	link, err := q.relations.explain(ctx, e.Repository, open.subject, entries, maxDepth)
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
			v.Outcome, v.Allowed = verified, link.to.line(r, e.Repository)
			v.Reason = fmt.Sprintf("agrees with manifest %s: belongs to %s, and source %s has it", v.Allowed, open.subject, src)
			return v, nil
		}
	}
	v.Reason = fmt.Sprintf("belongs to %s, but no source has what is there now, %s", open.subject, found)
	if q.young(e, settleTime) {
		return v, &unsettledError{v.Reason}
	}
	return v, nil
}

// same reports whether a source has the content of a destination's tag.
//
// suffix is that of cosign, or "" for a list of referrers.
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
		return false, nil // not a signature or an attestation
	}
	maps.DeleteFunc(ours, func(l string, _ struct{}) bool { _, ok := theirs[l]; return ok })
	return len(ours) == 0, nil
}

// sameReferrers reports whether a source has every referrer listed.
func (q *inquirer) sameReferrers(ctx context.Context, dst, src name.Repository, list v1.Hash) (bool, error) {
	m, err := q.relations.members(ctx, []name.Repository{dst}, list)
	if err != nil || m == nil || len(m.children) == 0 {
		return false, err // not a list of referrers
	}
	for _, d := range m.children {
		state, err := q.client.Has(ctx, src, d)
		if state != inventory.Present {
			return false, err
		}
	}
	return true, nil
}

// layers returns the layers of a signature or an attestation.
//
// Each key is a digest and the annotations, which have the signature itself.
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
		annotations, err := json.Marshal(l.Annotations) // the keys of maps are sorted
		if err != nil {
			return nil, err
		}
		all[l.Digest.String()+string(annotations)] = struct{}{}
	}
	return all, nil
}
