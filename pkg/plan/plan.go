package plan

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Item is an edge of a plan: a destination repository, a digest, and a tag or none.
type Item struct {
	Action      Action
	Status      Status
	Present     bool // the destination holds the digest: only the tag is put
	Kind        Kind // zero: a wanted edge
	What        What // of evidence
	Destination name.Repository
	Digest      v1.Hash         // in an invalid item as written, which may be malformed
	Tag         string          // empty: the digest without a tag
	Previous    v1.Hash         // that the tag points to now
	From        name.Repository // the repository that holds the digest, or may hold it
	Source      string          // the source reference if it is not From@Digest
	Error       string
	Retryable   bool          // the item has failed, or its evidence could not be read, and another run may cure that
	Subject     v1.Hash       // the wanted digest that the item belongs to, if it is another one
	pos         *manifest.Pos // of an invalid entry, which is not an edge
}

// SourceRef returns the reference that the item's content comes from; empty if unknown.
func (it *Item) SourceRef() string {
	if it.Source != "" || it.From == (name.Repository{}) {
		return it.Source
	}
	return it.From.Digest(image.DigestString(it.Digest)).String()
}

// Writes reports whether the item's action writes to a registry.
func (it *Item) Writes() bool { return it.Action.Writes() && it.Status == Planned }

// Attached returns the wanted digest that the item belongs to: its subject, or its own
// digest.
func (it *Item) Attached() v1.Hash {
	if it.Subject != (v1.Hash{}) {
		return it.Subject
	}
	return it.Digest
}

func (r *Refusal) item(repo name.Repository) Item {
	return Item{Action: r.Action, Status: r.Action.Status(), Destination: repo, Digest: r.Digest, Tag: r.Tag, Source: r.Source, Error: r.Reason, Retryable: r.retryable, pos: r.pos}
}

// Fail records why an item has failed, or could not be read. text says so in full.
func (it *Item) Fail(text string, cause error) {
	it.Status, it.Error, it.Retryable = Failed, text, errors.Is(cause, inventory.ErrRetryable)
}

// unreadable returns an item that could not be read. The text begins with doing.
func unreadable(doing, source string, cause error) Item {
	it := Item{Action: Unreadable, Source: source}
	if cause == nil {
		it.Fail(doing+": not read", nil)
	} else {
		it.Fail(doing+": "+cause.Error(), cause)
	}
	return it
}

// Compare orders by destination, digest, action, previous digest, kind of evidence and tag.
func Compare(a, b Item) int {
	return cmp.Or(
		image.CompareRepositories(a.Destination, b.Destination),
		image.CompareDigests(a.Digest, b.Digest),
		cmp.Compare(a.Action, b.Action),
		image.CompareDigests(a.Previous, b.Previous),
		cmp.Compare(a.What, b.What),
		strings.Compare(a.Tag, b.Tag),
		strings.Compare(a.Source, b.Source),
		strings.Compare(a.Error, b.Error),
	)
}

// Lack is what the sources have to be asked before a target can be planned.
type Lack struct {
	Entries []*Entry    // digests that the destination does not hold, or may not hold
	Pins    []SourceTag // source tags of retag entries with a pin, to be compared with the pin
}

// Lacking returns what the sources have to be asked before t can be planned. A digest
// whose tags all conflict is left out, because nothing would be copied.
func Lacking(t *Target, have *inventory.Repository) Lack {
	var lack Lack
	for i := range t.Want.Entries {
		e := &t.Want.Entries[i]
		present := have.Digest(e.Digest) == inventory.Present
		wanted := len(e.Tags) == 0
		for _, tag := range e.Tags {
			at, state := have.Tag(tag)
			if at == e.Digest || state == inventory.Unknown {
				continue
			}
			if state == inventory.Present && !t.mayMove(Edge{e.Digest, tag}) {
				continue
			}
			wanted = true
			if pin, ok := t.Want.pins[Edge{e.Digest, tag}]; ok && !slices.Contains(lack.Pins, pin) {
				lack.Pins = append(lack.Pins, pin)
			}
		}
		if wanted && !present {
			lack.Entries = append(lack.Entries, e)
		}
	}
	return lack
}

// Found holds the answers of the sources to a Lack.
type Found struct {
	Digests map[v1.Hash]Finding
	Pins    map[SourceTag]Resolution
}

// Finding is the answer of the sources about a digest.
type Finding struct {
	State inventory.State
	From  name.Repository // the repository that holds it
	Err   error           // why State is Unknown
}

// Compute compares a target with what its repository and the sources hold. It returns
// the items, sorted, and the number of edges that are up to date. An edge that depends
// on something unknown is Unreadable: unknown is never treated as absent.
func Compute(t *Target, have *inventory.Repository, found Found) (items []Item, upToDate int) {
	c := comparison{t: t, have: have, found: found}
	for i := range t.Want.Refused {
		c.items = append(c.items, t.refused(&t.Want.Refused[i], have))
	}
	for i := range t.Want.Entries {
		c.e = &t.Want.Entries[i]
		c.present = have.Digest(c.e.Digest)
		upToDate += c.entry()
	}
	slices.SortFunc(c.items, Compare)
	return c.items, upToDate
}

// Unread returns the items of a target whose repository could not be read.
func Unread(t *Target, err error) []Item {
	var items []Item
	for i := range t.Want.Refused {
		items = append(items, t.Want.Refused[i].item(t.Repository))
	}
	for i := range t.Want.Entries {
		e := &t.Want.Entries[i]
		it := Item{Action: Unreadable, Destination: t.Repository, Source: e.Sources[0].Repository.Digest(e.Digest.String()).String()}
		it.Fail(err.Error(), err)
		for edge := range e.Edges() {
			it.Digest, it.Tag = edge.Digest, edge.Tag
			items = append(items, it)
		}
	}
	slices.SortFunc(items, Compare)
	return items
}

// comparison compares the entries of a target with the registries.
type comparison struct {
	t       *Target
	have    *inventory.Repository
	found   Found
	items   []Item
	e       *Entry          // that is compared
	present inventory.State // of its digest at the destination
}

// entry adds items of an entry, and returns the number of edges that are up to date.
func (c *comparison) entry() (upToDate int) {
	if len(c.e.Tags) == 0 {
		if c.present == inventory.Present {
			return 1
		}
		c.add(c.absent(Copy), "", v1.Hash{})
		return 0
	}
	for _, tag := range c.e.Tags {
		at, state := c.have.Tag(tag)
		switch {
		case state == inventory.Present && at == c.e.Digest:
			upToDate++
		case state == inventory.Unknown:
			c.add(unreadable("reading tag "+tag, "", c.have.Failure(tag)), tag, v1.Hash{})
		case state == inventory.Present && c.t.ifExists == Leave:
			c.add(Item{Action: Existing}, tag, at)
		case state == inventory.Present && !c.t.mayMove(Edge{c.e.Digest, tag}):
			c.add(Item{Action: Conflict, Error: "tag points to " + at.String() + " and may not move" + c.t.permit()}, tag, at)
		default:
			c.free(tag, at)
		}
	}
	return upToDate
}

// permit names the option that allows a tag to move.
func (t *Target) permit() string {
	if t.destinations[0].registry == nil {
		return " (cip retag --if-exists=overwrite would allow it)"
	}
	return " (mutable-tags would allow it)"
}

// free adds the item of a tag that may be put. at is the digest that it points to; the
// zero value: there is no such tag.
func (c *comparison) free(tag string, at v1.Hash) {
	edge := Edge{c.e.Digest, tag}
	if pin, ok := c.t.Want.pins[edge]; ok {
		if it, ok := c.unpinned(pin); !ok {
			c.add(it, tag, at)
			return
		}
	}
	action := TagOnly
	if at != (v1.Hash{}) {
		action = Move
	}
	if c.present == inventory.Present {
		c.add(Item{Action: action, Present: true}, tag, at)
		return
	}
	if at == (v1.Hash{}) {
		action = Copy
	}
	it := c.absent(action)
	if it.Action == Missing {
		at = v1.Hash{}
	}
	c.add(it, tag, at)
}

// unpinned reports whether the source tag still has the pinned digest. If not, it
// returns the item for the edge.
func (c *comparison) unpinned(pin SourceTag) (Item, bool) {
	ref := pin.Repository.Tag(pin.Tag).String()
	r := c.found.Pins[pin]
	switch {
	case r.State == inventory.Present && r.Digest == c.e.Digest:
		return Item{}, true
	case r.State == inventory.Present:
		return Item{Action: Invalid, Source: ref, Error: "source tag " + ref + " is " + r.Digest.String() + ", not the pinned digest"}, false
	case r.State == inventory.Absent:
		return Item{Action: Invalid, Source: ref, Error: "source tag " + ref + " does not exist any more"}, false
	}
	return unreadable("reading source tag "+ref, ref, r.Err), false
}

// absent returns the item for a digest that the destination does not hold.
func (c *comparison) absent(action Action) Item {
	f := c.found.Digests[c.e.Digest]
	ref := c.e.Sources[0].Repository.Digest(c.e.Digest.String()).String()
	switch {
	case f.State == inventory.Present:
		return Item{Action: action, From: f.From}
	case f.State == inventory.Unknown:
		return unreadable("reading source "+ref, ref, f.Err)
	case c.present == inventory.Unknown:
		return Item{Action: Unreadable, Source: ref, Error: "neither source nor destination is known to hold the digest"}
	}
	return Item{Action: Missing, Source: ref, Error: "neither source nor destination holds the digest"}
}

// add adds the item of an edge.
func (c *comparison) add(it Item, tag string, previous v1.Hash) {
	it.Destination, it.Digest, it.Tag, it.Previous, it.Status = c.t.Repository, c.e.Digest, tag, previous, it.Action.Status()
	if it.Source == "" && it.From == (name.Repository{}) {
		it.From = c.e.Sources[0].Repository
	}
	c.items = append(c.items, it)
}

// mayMove reports whether all registry entries that want the edge allow its tag to move.
func (t *Target) mayMove(edge Edge) bool {
	if t.ifExists == Overwrite {
		return true
	}
	allowed := false
	for _, c := range t.destinations {
		if len(t.destinations) > 1 && !c.image.wants(edge) {
			continue
		}
		if c.registry == nil || !c.registry.MayMove(edge.Tag) {
			return false
		}
		allowed = true
	}
	return allowed
}

func (w *wantedImage) wants(edge Edge) bool {
	return slices.ContainsFunc(w.edges, func(e wantedEdge) bool { return e.Edge == edge })
}
