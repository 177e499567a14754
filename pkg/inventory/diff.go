package inventory

import (
	"cmp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Difference is what tells one snapshot from another, by name, tag and digest.
type Difference []Change

// Change is one edge that differs between two snapshots.
type Change struct {
	Kind   Kind
	Name   string  // of the image
	Tag    string  // empty: a digest that has no tag
	Digest v1.Hash // in the second snapshot; of a removed edge, in the first
	Was    v1.Hash // of a moved tag, in the first snapshot
}

// Kind says how an edge differs.
type Kind int

// The kinds of change.
const (
	Added   Kind = iota + 1 // only the second snapshot has it
	Removed                 // only the first snapshot has it
	Moved                   // the tag points to another digest
)

// String returns the kind's name.
func (k Kind) String() string { return [...]string{"", "added", "removed", "moved"}[k] }

// Diff returns what leads from one sorted snapshot to another. A digest without
// tags is a change of its own only if the other snapshot does not hold it at all.
func Diff(from, to Snapshot) Difference {
	var d Difference
	a, b := byName(from), byName(to)
	for name, was := range a {
		d.image(name, was, b[name])
	}
	for name, is := range b {
		if _, both := a[name]; !both {
			d.image(name, nil, is)
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

func (d *Difference) image(name string, from, to []Tagged) {
	was, is := tagsOf(from), tagsOf(to)
	for tag, digest := range is {
		switch old, there := was[tag]; {
		case !there:
			*d = append(*d, Change{Kind: Added, Name: name, Tag: tag, Digest: digest})
		case old != digest:
			*d = append(*d, Change{Kind: Moved, Name: name, Tag: tag, Digest: digest, Was: old})
		}
	}
	for tag, digest := range was {
		if _, there := is[tag]; !there {
			*d = append(*d, Change{Kind: Removed, Name: name, Tag: tag, Digest: digest})
		}
	}
	d.tagless(Added, name, to, from)
	d.tagless(Removed, name, from, to)
}

// tagless adds the digests without tags that only one side holds.
func (d *Difference) tagless(kind Kind, name string, here, there []Tagged) {
	held := make(map[v1.Hash]struct{}, len(there))
	for _, t := range there {
		held[t.Digest] = struct{}{}
	}
	for _, t := range here {
		if _, both := held[t.Digest]; !both && len(t.Tags) == 0 {
			*d = append(*d, Change{Kind: kind, Name: name, Digest: t.Digest})
		}
	}
}

func tagsOf(all []Tagged) map[string]v1.Hash {
	tags := map[string]v1.Hash{}
	for _, t := range all {
		for _, tag := range t.Tags {
			tags[tag] = t.Digest
		}
	}
	return tags
}

// Count returns how many changes are of a kind.
func (d Difference) Count(k Kind) int {
	n := 0
	for _, c := range d {
		if c.Kind == k {
			n++
		}
	}
	return n
}
