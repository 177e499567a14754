package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// dropped has the edges that were removed because their destination registries were.
type dropped struct {
	files  []*droppedFile
	byFile map[string]*droppedFile // by the file of the edges
}

// droppedFile has the destinations a manifest lost, with their edges.
type droppedFile struct {
	pos          manifest.Pos // of the first destination
	destinations []image.Registry
	edges        map[*edge]struct{}
	repositories map[name.Repository]struct{}
}

// dropped finds the destinations of the base that the manifest of the same file lost.
func (r Removal) dropped(head *manifest.Set) *dropped {
	d := &dropped{byFile: map[string]*droppedFile{}}
	now := map[string]map[image.Registry]struct{}{}
	for _, m := range head.Manifests {
		if now[m.File] == nil {
			now[m.File] = map[image.Registry]struct{}{}
		}
		for _, dst := range m.Destinations {
			now[m.File][dst.Name] = struct{}{}
		}
	}
	for _, m := range r.Base.Manifests {
		var f *droppedFile
		for _, dst := range m.Destinations {
			if _, still := now[m.File][dst.Name]; still || now[m.File] == nil {
				continue
			}
			if f == nil {
				f = &droppedFile{pos: dst.Pos, edges: map[*edge]struct{}{}, repositories: map[name.Repository]struct{}{}}
				d.files = append(d.files, f)
			}
			f.destinations = append(f.destinations, dst.Name)
		}
		for i := range m.Images {
			if f != nil {
				d.byFile[m.Images[i].Pos.File] = f
			}
		}
	}
	return d
}

// has reports whether a removed edge belonged to a removed destination, and counts it.
func (d *dropped) has(repo name.Repository, e *edge) bool {
	f := d.byFile[e.pos.File]
	if f == nil || !slices.ContainsFunc(f.destinations, func(dst image.Registry) bool { _, below := dst.Relative(repo); return below }) {
		return false
	}
	f.edges[e] = struct{}{}
	f.repositories[repo] = struct{}{}
	return true
}

// findings returns one finding for each file that lost destinations with edges.
func (d *dropped) findings(rev string) []Finding {
	var found []Finding
	for _, f := range d.files {
		if len(f.edges) == 0 {
			continue
		}
		names := make([]string, len(f.destinations))
		for i, dst := range f.destinations {
			names[i] = dst.String()
		}
		edges := slices.Collect(maps.Keys(f.edges))
		sortEdges(edges)
		im := Image{Destinations: slices.SortedFunc(maps.Keys(f.repositories), image.CompareRepositories), Pos: f.pos}
		found = append(found, lost(im, edges, fmt.Sprintf("%s (%s) removed, with %s in %s",
			counted(len(f.destinations), "destination"), firsts(names), counted(len(edges), "tag or digest"), counted(len(f.repositories), "repository")), rev))
	}
	return found
}

// counted returns a number with its noun.
func counted(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "repository":
		return fmt.Sprintf("%d repositories", n)
	case noun == "tag or digest":
		return fmt.Sprintf("%d tags or digests", n)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
