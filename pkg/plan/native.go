package plan

import (
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// IfExists says what becomes of a tag that a native entry wants and that points to something else.
type IfExists int

// The answers. None is Refuse, too.
const (
	Refuse    IfExists = iota + 1 // a conflict
	Leave                         // that it exists is enough, whatever it points to
	Overwrite                     // it moves
)

// SetIfExists sets what becomes of tags that exist in the repositories that native entries alone want.
func (w *Wanted) SetIfExists(rule func(name.Repository) IfExists) {
	for _, t := range w.Targets {
		if t.InPlace() {
			t.ifExists = rule(t.Repository)
		}
	}
}

// InPlace reports whether native entries alone want the target: it is their source, too.
func (t *Target) InPlace() bool {
	return !slices.ContainsFunc(t.claims, func(c claim) bool { return c.registry != nil })
}

// Tags returns the tags that have to be read to plan a target in place, sorted.
func (t *Target) Tags() []string {
	var tags []string
	for i := range t.Want.Entries {
		tags = append(tags, t.Want.Entries[i].Tags...)
	}
	for i := range t.Want.Refused {
		if r := &t.Want.Refused[i]; t.excuses(r) {
			tags = append(tags, r.Tags...)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// excuses reports whether a refusal is void where its tag exists: nobody needs a source that is gone.
func (t *Target) excuses(r *Refusal) bool {
	return t.ifExists == Leave && (r.Action == Missing || r.Action == Unreadable)
}

// refused returns the item of a refusal.
func (t *Target) refused(r Refusal, have *inventory.Repository) Item {
	it := r.item(t.Repository)
	if !t.excuses(&r) {
		return it
	}
	for _, tag := range r.Tags { // one: a source tag that is not known has no digest to share
		if at, state := have.Tag(tag); state == inventory.Present {
			it.Action, it.Status, it.Previous, it.Error = Existing, Done, at, ""
		}
	}
	return it
}
