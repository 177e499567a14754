package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Removal finds edges of a base revision that are no longer wanted. The source of an
// edge does not matter: an image may move to another source registry.
type Removal struct {
	Base   *manifest.Set
	Rev    string // as messages call the base
	Unread error  // why the base cannot be read; Base and Rev do not count then
}

// Describe implements Rule.
func (Removal) Describe() Description {
	return Description{"removal", "a digest or tag that the manifests had at the base was removed from a destination", Files}
}

// Check implements Rule.
func (r Removal) Check(_ context.Context, in *Input) []Finding {
	if r.Unread != nil {
		return []Finding{{Level: Failed, Pos: in.start(), Message: r.Unread.Error()}}
	}
	if r.Base.Absent || len(r.Base.Manifests) == 0 && !r.Base.Broken() {
		return []Finding{{Level: Note, Pos: in.start(), Message: "nothing to compare with: there were no manifests here at " + cmp.Or(r.Rev, "that time")}}
	}
	wanted := map[name.Repository]*plan.Want{}
	for _, t := range plan.Desired(r.Base, nil).Targets {
		wanted[t.Repository] = t.Want
	}
	base, head := holdings(r.Base), holdings(in.Set)
	gone := r.dropped(in.Set)
	rest := &removed{from: map[*edge][]name.Repository{}, image: map[*edge]*holding{}, head: head}
	compared := comparisons{}
	for _, repo := range base.order {
		now := head.of[repo]
		for _, h := range base.of[repo] {
			for _, e := range compared.missing(h, now) {
				if want := wanted[repo]; want != nil && want.Overlaps(e.tag) {
					continue // it was never promoted
				}
				if in.Set.Part(e.pos.File).Broken {
					continue // not read; broken reports the file if it changed
				}
				if gone.has(repo, e) {
					continue // reported for the whole destination
				}
				rest.add(e, h, repo)
			}
		}
	}
	return slices.Concat(r.broken(in.Set), gone.findings(r.Rev), rest.findings(r.Rev))
}

// broken returns a finding for each broken file of the base, whose wanted edges are
// unknown. Nothing was removed from files that have not changed.
func (r Removal) broken(head *manifest.Set) []Finding {
	var found []Finding
	for _, f := range r.Base.Faults {
		digest := r.Base.Part(f.Pos.File).Digest
		same := digest != "" && digest == head.Part(f.Pos.File).Digest
		if f.Severity == manifest.Broken && !same {
			found = append(found, Finding{Level: Failed, Pos: f.Pos, Message: fmt.Sprintf("the manifests at %s are broken: %s", r.Rev, f.Message)})
		}
	}
	return found
}

// comparisons caches the missing edges of pairs of holdings, which destinations share.
type comparisons map[[2]*holding][]*edge

// missing returns the edges of h that none of the holdings has.
func (c comparisons) missing(h *holding, now []*holding) []*edge {
	if len(now) != 1 {
		return h.without(now)
	}
	key := [2]*holding{h, now[0]}
	removed, ok := c[key]
	if !ok {
		removed = h.without(now)
		c[key] = removed
	}
	return removed
}

// edge is a wanted digest and tag of an image name, for all destinations of a manifest.
type edge struct {
	digest v1.Hash // empty: the digest of the source tag
	from   string  // source tag of a retag entry
	tag    string
	pos    manifest.Pos
}

// String returns the name of the edge in messages.
func (e *edge) String() string {
	what := e.digest.String()
	if what == "" {
		what = "source tag " + e.from
	}
	if e.tag == "" {
		return what
	}
	return "tag " + e.tag + " of " + what
}

// holding has the edges of one image name in one manifest. All destinations share it.
type holding struct {
	name    string // as the manifest has it
	edges   []*edge
	digests map[v1.Hash]struct{}
	tags    map[plan.Edge]struct{}
	retags  map[[2]string]bool // source tag and tag; true: without a pin
}

// held has the holdings of each destination repository.
type held struct {
	of    map[name.Repository][]*holding
	order []name.Repository
}

func holdings(set *manifest.Set) held {
	all := held{of: map[name.Repository][]*holding{}}
	for _, m := range set.Manifests {
		byName := map[string]*holding{}
		for i := range m.Images {
			img := &m.Images[i]
			h := byName[img.Name]
			if h == nil {
				h = &holding{name: img.Name, digests: map[v1.Hash]struct{}{}, tags: map[plan.Edge]struct{}{}, retags: map[[2]string]bool{}}
				byName[img.Name] = h
				for _, repo := range destinations(m, img) {
					if all.of[repo] == nil {
						all.order = append(all.order, repo)
					}
					all.of[repo] = append(all.of[repo], h)
				}
			}
			h.add(img)
		}
	}
	slices.SortFunc(all.order, image.CompareRepositories)
	return all
}

func (h *holding) add(img *manifest.Image) {
	put := func(e edge) {
		h.edges = append(h.edges, &e)
		if e.digest != (v1.Hash{}) {
			h.digests[e.digest] = struct{}{}
			h.tags[plan.Edge{Digest: e.digest, Tag: e.tag}] = struct{}{}
		}
		if e.from != "" {
			key := [2]string{e.from, e.tag}
			h.retags[key] = h.retags[key] || e.digest == (v1.Hash{})
		}
	}
	for _, d := range img.Digests {
		if len(d.Tags) == 0 {
			put(edge{digest: d.Digest, pos: d.Pos})
		}
		for _, t := range d.Tags {
			put(edge{digest: d.Digest, tag: t.Name, pos: t.Pos})
		}
	}
	for _, r := range img.Retags {
		put(edge{digest: r.Digest, from: r.SourceTag, tag: r.Tag, pos: r.Pos})
	}
}

// without returns the edges of h that none of the holdings has.
func (h *holding) without(now []*holding) []*edge {
	var removed []*edge
	for _, e := range h.edges {
		if !slices.ContainsFunc(now, func(n *holding) bool { return n.has(e) }) {
			removed = append(removed, e)
		}
	}
	return removed
}

// has reports whether an edge still exists. A tagless digest also exists if it got a tag.
// A retag entry without a pin has the digest of its source tag, which is unknown here.
func (h *holding) has(e *edge) bool {
	unpinned, same := h.retags[[2]string{e.from, e.tag}]
	switch {
	case e.from != "" && same && (unpinned || e.digest == (v1.Hash{})):
		return true
	case e.digest == (v1.Hash{}):
		return false
	case e.tag == "":
		_, ok := h.digests[e.digest]
		return ok
	}
	_, ok := h.tags[plan.Edge{Digest: e.digest, Tag: e.tag}]
	return ok
}
