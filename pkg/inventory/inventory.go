// Package inventory holds what repositories were found to hold: digests and the
// tags that point at them.
//
// An inventory is three-valued. What a registry named is present, what it denied
// is absent, and what nobody asked about is unknown: unknown is never taken for
// absent. Reading registries is package registry's work, comparing an inventory
// with what is wanted is package plan's.
package inventory

import v1 "github.com/google/go-containerregistry/pkg/v1"

// State is what is known of one thing in a registry.
type State uint8

// The states; the zero value is what nothing is known of.
const (
	Unknown State = iota
	Present
	Absent
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Present:
		return "present"
	case Absent:
		return "absent"
	}
	return "unknown"
}

// Repository is what is known of one repository. The zero value knows nothing.
// It is filled by one goroutine and then only read.
type Repository struct {
	tags       map[string]v1.Hash
	digests    map[v1.Hash]State
	failed     map[string]error // why a tag is unknown, where that was tried
	tagsKnown  bool             // every tag that exists is in tags
	everything bool             // every digest that exists is in digests
}

// SetTag records that tag points to d, and so that d is present.
func (r *Repository) SetTag(tag string, d v1.Hash) {
	if r.tags == nil {
		r.tags = map[string]v1.Hash{}
	}
	r.tags[tag] = d
	r.SetDigest(d, Present)
}

// SetAbsent records that tag does not exist.
func (r *Repository) SetAbsent(tag string) {
	if r.tags == nil {
		r.tags = map[string]v1.Hash{}
	}
	r.tags[tag] = v1.Hash{}
}

// SetFailed records why tag could not be read: it stays unknown.
func (r *Repository) SetFailed(tag string, err error) {
	if r.failed == nil {
		r.failed = map[string]error{}
	}
	r.failed[tag] = err
}

// Failure returns why tag is unknown, if it was tried.
func (r *Repository) Failure(tag string) error { return r.failed[tag] }

// SetDigest records the state of a digest.
func (r *Repository) SetDigest(d v1.Hash, s State) {
	if r.digests == nil {
		r.digests = map[v1.Hash]State{}
	}
	r.digests[d] = s
}

// CloseTags records that the repository has no tags but those set.
func (r *Repository) CloseTags() { r.tagsKnown = true }

// Close records that the repository has neither tags nor digests but those set.
func (r *Repository) Close() { r.tagsKnown, r.everything = true, true }

// Tag returns the digest that tag points to, and whether that is known.
func (r *Repository) Tag(tag string) (v1.Hash, State) {
	d, ok := r.tags[tag]
	switch {
	case d != (v1.Hash{}):
		return d, Present
	case ok || r.tagsKnown:
		return v1.Hash{}, Absent
	}
	return v1.Hash{}, Unknown
}

// Digest returns whether the repository holds d.
func (r *Repository) Digest(d v1.Hash) State {
	if s, ok := r.digests[d]; ok {
		return s
	}
	if r.everything {
		return Absent
	}
	return Unknown
}
