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
func (p Provenance) preview(ctx context.Context, in *Input, c *changes, judged []Finding) []Finding {
	if c == nil {
		return nil
	}
	reported := map[sourceDigest]struct{}{}
	for i := range judged {
		reported[sourceDigest{judged[i].Image.Source, judged[i].Image.Digest}] = struct{}{}
	}
	had := digestsOf(p.Base)
	var images []Image
	places := map[sourceDigest][]Place{}
	for _, l := range listed(in.Set) {
		key := sourceDigest{l.source, l.place.Digest}
		_, old := had[key]
		_, done := reported[key]
		if !old || done || !c.in(l.source) {
			continue
		}
		if places[key] == nil {
			images = append(images, Image{Digest: key.digest, From: key.source, Source: key.source, Pos: l.place.Pos})
		}
		places[key] = append(places[key], l.place)
	}
	return each(ctx, images, func(ctx context.Context, im Image) []Finding {
		found := p.compare(ctx, im, c)
		for i := range found {
			found[i].Places, found[i].Image = places[sourceDigest{im.Source, im.Digest}], Image{} // it is not about to be promoted
		}
		return found
	})
}

// compare judges an image by the policies before and after a change.
func (p Provenance) compare(ctx context.Context, im Image, c *changes) []Finding {
	before, now := p.judge(ctx, im, c.before.Of(im.Source)), p.judge(ctx, im, c.now.Of(im.Source))
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
	differ      map[name.Repository]bool
}

// changes returns the changes since the base, or nil if there are none.
func (p Provenance) changes(now *provenance.Policies) *changes {
	if p.Base == nil {
		return nil
	}
	c := &changes{p.Base.Policies(), now, map[name.Repository]bool{}}
	if !now.Any() && !c.before.Any() {
		return nil
	}
	return c
}

// in reports whether the policies demand something else of a repository than before.
func (c *changes) in(repo name.Repository) bool {
	if c == nil {
		return false
	}
	differ, ok := c.differ[repo]
	if !ok {
		differ = c.before.Demands(repo) != c.now.Demands(repo)
		c.differ[repo] = differ
	}
	return differ
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
