package plan

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// mostPlaces is how many places one message names: each has a fault of its own, and n of them would have n² words.
const mostPlaces = 20

// overlaps finds the tags that edges want for different digests in one
// repository, and reports each place that takes part. It returns the reason for
// refusing each such tag. Unpinned retag entries of different source tags
// overlap whatever these point to, so that a check without network says the same.
// place is where the edges meet.
func (w *wisher) overlaps(edges []wishEdge, place string) map[string]string {
	byTag := make(map[string]int, len(edges)) // tag → the first edge that wants it
	var rivals map[string][]int               // tag → all edges that want it, where two differ
	for i := range edges {
		tag := edges[i].Tag
		if tag == "" {
			continue
		}
		first, ok := byTag[tag]
		switch {
		case !ok:
			byTag[tag] = i
		case edges[first].Edge != edges[i].Edge || edges[first].from != edges[i].from:
			if rivals == nil {
				rivals = map[string][]int{}
			}
			rivals[tag] = nil
		}
	}
	for i := range edges {
		if at, ok := rivals[edges[i].Tag]; ok {
			rivals[edges[i].Tag] = append(at, i)
		}
	}
	clash := map[string]string{}
	for tag, at := range rivals {
		if !disagree(edges, at) {
			continue
		}
		var places []string
		for _, i := range at[:min(len(at), mostPlaces)] {
			places = append(places, fmt.Sprintf("%s (%s)", edges[i].what(), edges[i].pos))
		}
		if more := len(at) - mostPlaces; more > 0 {
			places = append(places, fmt.Sprintf("%d more", more))
		}
		clash[tag] = fmt.Sprintf("overlap: tag %q of %s is wanted for %s", tag, place, strings.Join(places, " and "))
		for _, i := range at {
			w.fault(edges[i].pos, clash[tag])
		}
	}
	return clash
}

// disagree reports whether the edges at want one tag to be different things.
func disagree(edges []wishEdge, at []int) bool {
	var digest v1.Hash
	var from SourceTag
	for _, i := range at {
		e := &edges[i]
		if e.Digest != (v1.Hash{}) {
			if digest != (v1.Hash{}) && digest != e.Digest {
				return true
			}
			digest = e.Digest
		}
		if e.from != (SourceTag{}) && !e.pinned {
			if from != (SourceTag{}) && from != e.from {
				return true
			}
			from = e.from
		}
	}
	return false
}

// what names the thing an edge wants its tag to be.
func (e *wishEdge) what() string {
	if e.from != (SourceTag{}) && !e.pinned {
		return e.from.Repository.Tag(e.from.Tag).String()
	}
	return e.Digest.String()
}
