// Package inventory records the digests and tags that repositories hold.
//
// Each tag and digest is in one of three states. It is present if the registry
// returned it, absent if the registry answered that it does not exist, and
// unknown if no request was made or the request failed. Callers must never treat
// an unknown tag as absent, because they would then overwrite or report it.
//
// The package does no input or output. Package registry reads the registries, and
// package plan compares an inventory with the wanted edges.
package inventory

import v1 "github.com/google/go-containerregistry/pkg/v1"

// State says whether a registry holds a tag or digest.
type State uint8

// The states. The zero value is Unknown, so that a missing entry is never absent.
const (
	Unknown State = iota // not read, or reading it failed
	Present              // the registry holds it
	Absent               // the registry answered that it does not exist
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

// Repository is the inventory of one repository.
//
// In the zero value every tag and digest is unknown. One goroutine fills a
// Repository; after that it is read-only and safe for concurrent use.
type Repository struct {
	tags         map[string]v1.Hash // the zero hash marks an absent tag
	digests      map[v1.Hash]State
	failed       map[string]error // errors of tags that could not be read
	tagsKnown    bool             // tags has every tag of the repository
	digestsKnown bool             // digests has every digest of the repository
}

// SetTag records that tag points to d. This also makes d present.
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

// SetFailed records an error of reading tag, which stays unknown.
func (r *Repository) SetFailed(tag string, err error) {
	if r.failed == nil {
		r.failed = map[string]error{}
	}
	r.failed[tag] = err
}

// Failure returns the error of reading tag, or nil if there was none.
func (r *Repository) Failure(tag string) error { return r.failed[tag] }

// SetDigest records the state of a digest.
func (r *Repository) SetDigest(d v1.Hash, s State) {
	if r.digests == nil {
		r.digests = map[v1.Hash]State{}
	}
	r.digests[d] = s
}

// CloseTags records that all the repository's tags are set.
//
// Any other tag is absent from then on. Digests are not affected: a repository
// can hold digests that no tag points to.
func (r *Repository) CloseTags() { r.tagsKnown = true }

// Close records that all tags and digests have been set.
//
// Any other tag or digest is absent from then on.
func (r *Repository) Close() { r.tagsKnown, r.digestsKnown = true, true }

// Tag returns the digest that tag points to, and the state of tag.
//
// The digest is the zero hash unless the state is Present.
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

// Digest returns the state of d.
func (r *Repository) Digest(d v1.Hash) State {
	if s, ok := r.digests[d]; ok {
		return s
	}
	if r.digestsKnown {
		return Absent
	}
	return Unknown
}
