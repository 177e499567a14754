package check

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// preview returns what a change of policies does to the digests that the manifests had at
// the base, too. judged are the findings about images that are about to be promoted.
func (p Provenance) preview(ctx context.Context, in *Input, now *provenance.Policies, judged []Finding) []Finding {
	if p.Base == nil {
		return nil
	}
	before := p.Base.Policies()
	if !now.Any() && !before.Any() {
		return nil
	}
	changes := changes{before: before, now: now, of: map[name.Repository]*change{}}
	had := digestsOf(p.Base)
	var images []Image
	places := map[sourceDigest][]Place{}
	for _, l := range listed(in.Set) {
		key := sourceDigest{l.source, l.place.Digest}
		if _, ok := had[key]; !ok || changes.in(l.source) == nil {
			continue
		}
		if places[key] == nil {
			images = append(images, Image{Digest: key.digest, From: key.source, Source: key.source, Pos: l.place.Pos})
		}
		places[key] = append(places[key], l.place)
	}
	reported := map[sourceDigest]struct{}{}
	for i := range judged {
		if f := &judged[i]; !in.had(f) {
			reported[sourceDigest{f.Image.Source, f.Image.Digest}] = struct{}{}
		}
	}
	return each(ctx, images, func(ctx context.Context, im Image) []Finding {
		key := sourceDigest{im.Source, im.Digest}
		if _, ok := reported[key]; ok {
			return nil
		}
		found := p.compare(ctx, im, changes.in(im.Source))
		for i := range found {
			found[i].Places, found[i].Image = places[key], Image{} // it is not about to be promoted
		}
		return found
	})
}

// compare judges an image by the policies before and after a change.
func (p Provenance) compare(ctx context.Context, im Image, c *change) []Finding {
	before, now := p.judge(ctx, im, c.before), p.judge(ctx, im, c.now)
	switch {
	case Bad(before) && !Bad(now):
		return []Finding{im.finding(Note, "newly passes: "+im.sourceRef()+" was refused by the policies of the base")}
	case Bad(now) && !Bad(before):
		now = slices.DeleteFunc(now, func(f Finding) bool { return f.Level == Note })
	case len(now) == 0 && len(before) > 0:
		return []Finding{im.finding(Note, "newly passes: "+im.sourceRef()+" was warned of by the policies of the base")}
	case len(before) > 0:
		return nil
	}
	for i := range now {
		now[i].Message = "newly fails: " + now[i].Message
	}
	return now
}

// changes finds the repositories whose policies differ between two sets of manifests.
type changes struct {
	before, now *provenance.Policies
	of          map[name.Repository]*change
}

// change is what binds a repository, before and after.
type change struct{ before, now []provenance.Bound }

// in returns the change in a repository, or nil if the policies demand the same as before.
func (c *changes) in(repo name.Repository) *change {
	one, ok := c.of[repo]
	if !ok {
		one = &change{c.before.Of(repo), c.now.Of(repo)}
		if slices.EqualFunc(one.before, one.now, provenance.Bound.Equal) {
			one = nil
		}
		c.of[repo] = one
	}
	return one
}

// listing is a digest that a manifest lists, and where.
type listing struct {
	source name.Repository
	place  Place
}

// listed returns the digests that manifests list, in their order. Retag entries without a
// pin have none.
func listed(set *manifest.Set) []listing {
	var all []listing
	for _, m := range set.Manifests {
		for i := range m.Images {
			img := &m.Images[i]
			source, err := m.SourceRepository(img)
			if err != nil {
				continue // plan.Desired refuses it
			}
			for _, d := range img.Digests {
				all = append(all, listing{source, Place{Pos: d.Pos, Digest: d.Digest}})
			}
			for _, r := range img.Retags {
				if r.Digest != (v1.Hash{}) {
					all = append(all, listing{source, Place{Pos: r.Pos, Digest: r.Digest, SourceTag: r.SourceTag, Tag: r.Tag}})
				}
			}
		}
	}
	return all
}

// digestsOf returns the digests that manifests list.
func digestsOf(set *manifest.Set) map[sourceDigest]struct{} {
	all := map[sourceDigest]struct{}{}
	for _, l := range listed(set) {
		all[sourceDigest{l.source, l.place.Digest}] = struct{}{}
	}
	return all
}
