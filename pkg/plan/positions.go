package plan

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// maxWantedBy is the number of positions that an item of a report names.
const maxWantedBy = 10

// Pos returns the first position of a tag in the manifests, or of a digest if tag is
// empty. It is zero if there is none.
func (t *Target) Pos(d v1.Hash, tag string) manifest.Pos {
	if all := t.positions(Edge{d, tag}); len(all) > 0 {
		return all[0]
	}
	return manifest.Pos{}
}

// positions returns the positions that want an edge, in the order of the manifests. An
// edge without a tag has the positions of the digest's entries.
func (t *Target) positions(edge Edge) (all []manifest.Pos) {
	for _, img := range t.images() {
		sorted := img.sorted()
		first, _ := slices.BinarySearchFunc(sorted, edge, func(i int32, edge Edge) int { return compareEdges(img.edges[i].Edge, edge) })
		n := first
		for n < len(sorted) && img.edges[sorted[n]].Digest == edge.Digest && (edge.Tag == "" || img.edges[sorted[n]].Tag == edge.Tag) {
			n++
		}
		found := sorted[first:n]
		if edge.Tag != "" {
			for _, i := range found {
				all = append(all, img.edges[i].pos)
			}
			continue
		}
		for _, i := range slices.Sorted(slices.Values(found)) {
			all = append(all, img.edges[i].entry)
		}
	}
	return all
}

// locator finds the positions of the items of a report.
type locator struct {
	wanted *Wanted
	texts  map[manifest.Pos]string // one text for all destinations of an edge
}

// wantedBy returns the first positions that want the items of a group, sorted.
func (l *locator) wantedBy(g *Group) []string {
	all := l.positions(g)
	slices.SortFunc(all, manifest.Pos.Compare)
	all = slices.Compact(all)
	texts := make([]string, min(len(all), maxWantedBy))
	for i := range texts {
		text, ok := l.texts[all[i]]
		if !ok {
			text = strings.TrimPrefix(all[i].String(), l.wanted.prefix)
			l.texts[all[i]] = text
		}
		texts[i] = text
	}
	return texts
}

// positions returns all positions that want a group. Referrers and evidence have those of
// the digest that they belong to.
func (l *locator) positions(g *Group) (all []manifest.Pos) {
	if g.pos != nil {
		return []manifest.Pos{*g.pos}
	}
	t := l.wanted.Target(g.Destination)
	if t == nil {
		return nil
	}
	if g.Kind != 0 || len(g.Tags) == 0 {
		return t.positions(Edge{Digest: g.Attached()})
	}
	for _, tag := range g.Tags {
		all = append(all, t.positions(Edge{g.Digest, tag})...)
	}
	return all
}
