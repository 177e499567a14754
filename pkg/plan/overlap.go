package plan

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// maxPositions is the number of positions that a message names. Each position has a
// fault with the message, so that n of them make a text of n² words.
const maxPositions = 20

// overlaps finds the tags that are wanted for different digests in one repository. It
// reports a fault at the position of each such edge, and returns for each tag the
// reason why it is refused. where names the repository.
func (b *builder) overlaps(edges []wantedEdge, where string) map[string]string {
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
		var positions []string
		for _, i := range at[:min(len(at), maxPositions)] {
			positions = append(positions, fmt.Sprintf("%s (%s)", edges[i].what(), edges[i].pos))
		}
		if more := len(at) - maxPositions; more > 0 {
			positions = append(positions, fmt.Sprintf("%d more", more))
		}
		clash[tag] = fmt.Sprintf("overlap: tag %q of %s is wanted for %s", tag, where, image.JoinNames(positions, "and"))
		for _, i := range at {
			b.fault(edges[i].pos, clash[tag], strings.Join([]string{"overlap", edges[i].source.image, edges[i].what(), tag}, "\n"))
		}
	}
	return clash
}

// disagree reports whether the edges at indices want different content.
//
// Source tags with the same digest are the same content. If a digest is unknown, as
// offline, different source tags are not.
func disagree(edges []wantedEdge, at []int) bool {
	var digest v1.Hash
	var from SourceTag
	var differ, unknown bool
	for _, i := range at {
		e := &edges[i]
		if e.Digest != (v1.Hash{}) {
			if digest != (v1.Hash{}) && digest != e.Digest {
				return true
			}
			digest = e.Digest
		}
		if e.unpinned() {
			differ = differ || from != (SourceTag{}) && from != e.from
			unknown = unknown || e.Digest == (v1.Hash{})
			from = e.from
		}
	}
	return differ && unknown
}

// what returns the digest or source tag that an edge wants under its tag.
func (e *wantedEdge) what() string {
	if e.unpinned() {
		return e.from.Repository.Tag(e.from.Tag).String()
	}
	return e.Digest.String()
}
