package plan

import (
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// IfExists says what happens to a tag of a native entry that points to another digest.
type IfExists int

// The values. The zero value is Refuse.
const (
	Refuse    IfExists = iota + 1 // a conflict
	Leave                         // keep the tag as it is
	Overwrite                     // move the tag
)

// SetIfExists sets the rule for tags that exist, in the targets of native entries only.
func (w *Wanted) SetIfExists(rule func(name.Repository) IfExists) {
	for _, t := range w.Targets {
		if t.InPlace() {
			t.ifExists = rule(t.Repository)
		}
	}
}

// InPlace reports whether the target is its own source: only native entries want it.
func (t *Target) InPlace() bool {
	return !slices.ContainsFunc(t.destinations, func(c destination) bool { return c.registry != nil })
}

// Tags returns the tags that have to be read to plan a target in place, sorted.
func (t *Target) Tags() []string {
	var tags []string
	for i := range t.Want.Entries {
		tags = append(tags, t.Want.Entries[i].Tags...)
	}
	for i := range t.Want.Refused {
		if r := &t.Want.Refused[i]; t.excuses(r) {
			tags = append(tags, r.Tag)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// excuses reports whether a refusal does not count if its tag exists: the source is then
// not needed.
func (t *Target) excuses(r *Refusal) bool {
	return t.ifExists == Leave && (r.Action == Missing || r.Action == Unreadable)
}

// refused returns the item of a refusal.
func (t *Target) refused(r *Refusal, have *inventory.Repository) Item {
	it := r.item(t.Repository)
	if at, state := have.Tag(r.Tag); t.excuses(r) && state == inventory.Present {
		it.Action, it.Status, it.Previous, it.Error = Existing, Done, at, ""
	}
	return it
}
