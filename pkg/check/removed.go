package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// removed collects edges that were removed from destinations which are still there.
type removed struct {
	from  map[*edge][]name.Repository
	image map[*edge]*holding
	order []*edge
	head  held
}

// add adds an edge of an image.
func (r *removed) add(e *edge, h *holding, repo name.Repository) {
	if r.from[e] == nil {
		r.order = append(r.order, e)
		r.image[e] = h
	}
	r.from[e] = append(r.from[e], repo)
}

// whole reports whether nothing of its image is left where an edge was removed.
func (r *removed) whole(e *edge) bool {
	return !slices.ContainsFunc(r.from[e], func(repo name.Repository) bool { return len(r.head.of[repo]) > 0 })
}

// findings returns one finding for the images that one file lost, and one for the edges
// that another image lost in the same repositories.
func (r *removed) findings(rev string) []Finding {
	type key struct{ file, image, from string }
	groups := map[key][]*edge{}
	var order []key
	for _, e := range r.order {
		k := key{file: e.pos.File}
		if !r.whole(e) {
			k.image, k.from = r.image[e].name, fmt.Sprint(r.from[e])
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], e)
	}
	found := make([]Finding, 0, len(order))
	for _, k := range order {
		found = append(found, r.finding(groups[k], k.image, rev))
	}
	return found
}

// finding returns the finding about edges with one cause. They are of one image, or of
// images of which nothing is left if name is empty.
func (r *removed) finding(edges []*edge, name, rev string) Finding {
	sortEdges(edges)
	im := Image{Pos: edges[0].pos, Digest: edges[0].digest}
	var names []string
	for _, e := range edges {
		im.Destinations = append(im.Destinations, r.from[e]...)
		names = append(names, r.image[e].name)
		if e.tag != "" {
			im.Tags = append(im.Tags, e.tag)
		}
		if e.digest != edges[0].digest {
			im.Digest = v1.Hash{} // it is about several
		}
	}
	slices.SortFunc(im.Destinations, image.CompareRepositories)
	im.Destinations = slices.Compact(im.Destinations)
	if im.Digest == (v1.Hash{}) && len(edges) > 1 {
		im.Tags = nil
	}
	if len(edges) == 1 {
		return im.finding(Error, fmt.Sprintf("%s was removed from %s; the manifests had it at %s", edges[0], list(im.Destinations), rev))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	text := fmt.Sprintf("%s of %s removed from %s", counted(len(edges), "tag or digest"), name, list(im.Destinations))
	if name == "" {
		text = fmt.Sprintf("%s (%s) removed, with %s in %s", counted(len(names), "image"), firsts(names), counted(len(edges), "tag or digest"),
			counted(len(im.Destinations), "repository"))
	}
	return lost(im, edges, text, rev)
}

// lost returns the finding about edges that were removed together, with examples.
func lost(im Image, edges []*edge, text, rev string) Finding {
	examples := make([]string, 0, some)
	for _, e := range edges[:min(len(edges), some)] {
		examples = append(examples, e.String())
	}
	f := im.finding(Error, fmt.Sprintf("%s, for example %s; the manifests had them at %s", text, strings.Join(examples, ", "), rev))
	for _, e := range edges {
		f.Places = append(f.Places, Place{Pos: e.pos, Digest: e.digest, SourceTag: e.from, Tag: e.tag})
	}
	return f
}

// sortEdges sorts edges by their positions.
func sortEdges(edges []*edge) {
	slices.SortFunc(edges, func(a, b *edge) int { return a.pos.Compare(b.pos) })
}

// firsts returns names for a message, the first ones if there are many.
func firsts(names []string) string {
	return image.FirstNames(names, some)
}
