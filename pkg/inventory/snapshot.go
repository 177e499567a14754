package inventory

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Snapshot is what a registry holds, or is wanted to hold, at one moment: its
// repositories by name, relative to the registry. It is the images.yaml form:
// fed back as one it parses to the same.
type Snapshot []Image

// Image is one repository of a Snapshot.
type Image struct {
	Name    string
	Digests []Tagged // by digest
}

// Tagged is a digest and its tags, in order; no tags: it is there by digest alone.
type Tagged struct {
	Digest v1.Hash
	Tags   []string
}

// Sort puts names, digests and tags in order and unites what is named twice. A
// digest tagged in one place and tagless in another is tagged.
func (s Snapshot) Sort() Snapshot {
	slices.SortStableFunc(s, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	var out Snapshot
	for _, img := range s {
		if n := len(out); n > 0 && out[n-1].Name == img.Name {
			out[n-1].Digests = append(out[n-1].Digests, img.Digests...)
			continue
		}
		img.Digests = slices.Clone(img.Digests)
		out = append(out, img)
	}
	for i := range out {
		out[i].Digests = unite(out[i].Digests)
	}
	return out
}

func unite(all []Tagged) []Tagged {
	slices.SortStableFunc(all, func(a, b Tagged) int { return image.CompareDigests(a.Digest, b.Digest) })
	var out []Tagged
	for _, t := range all {
		if n := len(out); n > 0 && out[n-1].Digest == t.Digest {
			out[n-1].Tags = append(out[n-1].Tags, t.Tags...)
			continue
		}
		t.Tags = slices.Clone(t.Tags)
		out = append(out, t)
	}
	for i := range out {
		slices.Sort(out[i].Tags)
		out[i].Tags = slices.Compact(out[i].Tags)
	}
	return out
}

// WithTag returns the digests that carry a tag, with all their tags.
func (s Snapshot) WithTag(tag string) Snapshot {
	var out Snapshot
	for _, img := range s {
		kept := Image{Name: img.Name}
		for _, d := range img.Digests {
			if slices.Contains(d.Tags, tag) {
				kept.Digests = append(kept.Digests, d)
			}
		}
		if kept.Digests != nil {
			out = append(out, kept)
		}
	}
	return out
}
