package inventory

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Snapshot is a registry's inventory in the form of images.yaml.
//
// It lists what the registry holds, or what the manifest files want it to hold.
// A printed snapshot is a valid images.yaml that parses to the same content.
type Snapshot []Image

// Image is one repository of a Snapshot.
type Image struct {
	Name    string   // relative to the registry
	Digests []Tagged // sorted by digest
}

// Tagged is a digest and its tags.
type Tagged struct {
	Digest v1.Hash
	Tags   []string // sorted; empty for a tagless digest
}

// Sort returns the snapshot sorted by name, digest and tag, without duplicates.
//
// Images of the same name become one image. A digest that one of them has tagless
// and another with tags keeps its tags.
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
		out[i].Digests = mergeDigests(out[i].Digests)
	}
	return out
}

func mergeDigests(all []Tagged) []Tagged {
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

// WithTag returns the digests that have the tag, each with all its tags.
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
