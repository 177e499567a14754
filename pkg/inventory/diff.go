package inventory

import (
	"cmp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Difference lists the changes between two snapshots.
//
// It is sorted by image name, tag, kind and digest.
type Difference []Change

// Change is one edge that differs between two snapshots.
type Change struct {
	Kind   Kind
	Name   string  // image name, relative to the registry
	Tag    string  // empty for a tagless digest
	Digest v1.Hash // digest in the second snapshot; for Removed, in the first
	Was    v1.Hash // digest in the first snapshot; set for Moved only
}

// Kind says how an edge differs.
type Kind int

// The kinds of change.
const (
	Added   Kind = iota + 1 // only the second snapshot has the edge
	Removed                 // only the first snapshot has the edge
	Moved                   // the tag points to another digest
)

// String returns the kind's name in lower case.
func (k Kind) String() string { return [...]string{"", "added", "removed", "moved"}[k] }

// Diff returns the changes between two sorted snapshots.
//
// A tagless digest is a change only if the other snapshot does not hold the digest
// at all. If the other snapshot holds it with tags, those tags are the change.
func Diff(from, to Snapshot) Difference {
	var d Difference
	a, b := byName(from), byName(to)
	for name, digests := range a {
		d.addImage(name, digests, b[name])
	}
	for name, digests := range b {
		if _, both := a[name]; !both {
			d.addImage(name, nil, digests)
		}
	}
	slices.SortFunc(d, func(x, y Change) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Tag, y.Tag), cmp.Compare(x.Kind, y.Kind), image.CompareDigests(x.Digest, y.Digest))
	})
	return d
}

func byName(s Snapshot) map[string][]Tagged {
	m := make(map[string][]Tagged, len(s))
	for _, img := range s {
		m[img.Name] = img.Digests
	}
	return m
}

// addImage adds the changes of one image.
func (d *Difference) addImage(name string, from, to []Tagged) {
	before, after := digestByTag(from), digestByTag(to)
	for tag, digest := range after {
		switch old, existed := before[tag]; {
		case !existed:
			*d = append(*d, Change{Kind: Added, Name: name, Tag: tag, Digest: digest})
		case old != digest:
			*d = append(*d, Change{Kind: Moved, Name: name, Tag: tag, Digest: digest, Was: old})
		}
	}
	for tag, digest := range before {
		if _, exists := after[tag]; !exists {
			*d = append(*d, Change{Kind: Removed, Name: name, Tag: tag, Digest: digest})
		}
	}
	d.addTagless(Added, name, to, from)
	d.addTagless(Removed, name, from, to)
}

// addTagless adds the tagless digests of one side that the other side lacks.
func (d *Difference) addTagless(kind Kind, name string, side, other []Tagged) {
	held := make(map[v1.Hash]struct{}, len(other))
	for _, t := range other {
		held[t.Digest] = struct{}{}
	}
	for _, t := range side {
		if _, both := held[t.Digest]; !both && len(t.Tags) == 0 {
			*d = append(*d, Change{Kind: kind, Name: name, Digest: t.Digest})
		}
	}
}

func digestByTag(all []Tagged) map[string]v1.Hash {
	tags := map[string]v1.Hash{}
	for _, t := range all {
		for _, tag := range t.Tags {
			tags[tag] = t.Digest
		}
	}
	return tags
}

// Count returns the number of changes of kind k.
func (d Difference) Count(k Kind) int {
	n := 0
	for _, c := range d {
		if c.Kind == k {
			n++
		}
	}
	return n
}
