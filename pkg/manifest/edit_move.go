package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Moved is a tag that an edit moves from a digest to another one.
type Moved struct {
	Tag      string
	From, To v1.Hash
}

// Move adds digests with tags like Add, and removes these tags from other digests of the image.
//
// fixed returns a destination in which a tag may not move, or "". Such a tag is an error,
// and the text stays as it is. The digests that lose a tag stay in the list.
func (t *ImagesText) Move(name string, fixed func(tag string) string, all ...Addition) ([]Moved, error) {
	wants, err := t.Wants()
	if err != nil {
		return nil, err
	}
	edited := t.Clone()
	to := map[string]v1.Hash{}
	for _, a := range all {
		for _, tag := range a.Tags {
			to[tag] = a.Digest
		}
	}
	var moved []Moved
	for _, key := range slices.Sorted(maps.Keys(wants)) {
		from, ok := strings.CutPrefix(key, name+"@")
		if !ok {
			continue
		}
		for _, tag := range wants[key] {
			d, isAdded := to[tag]
			if !isAdded || d.String() == from {
				continue
			}
			if destination := fixed(tag); destination != "" {
				return nil, fmt.Errorf("tag %s of %s belongs to %s and may not move to %s: it is not in mutable-tags of %s", tag, name, from, d, destination)
			}
			if err := edited.RemoveTag(name, image.Hash(from), tag); err != nil {
				return nil, err
			}
			moved = append(moved, Moved{Tag: tag, From: image.Hash(from), To: d})
		}
	}
	if err := edited.Add(name, all...); err != nil {
		return nil, err
	}
	*t = *edited
	return moved, nil
}
