package plan

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// Action is what an item asks for.
type Action int

// The actions, in the order of the summary.
const (
	Copy       Action = iota + 1 // copy the digest, then tag it
	TagOnly                      // the digest is there: put its tags
	Move                         // put tags that point elsewhere and may move, copying first if needed
	Conflict                     // the tags point elsewhere and may not move
	Missing                      // neither source nor destination holds the digest
	Invalid                      // a bad or contradicting entry
	Unreadable                   // what is there could not be read
	Existing                     // the tags point elsewhere, and that is fine (IfExists)
)

var actions = [...]string{"", "copy", "tag", "move", "conflict", "missing", "invalid", "unknown", "existing"}

// String returns the action's name in reports.
func (a Action) String() string { return actions[a] }

// Status is what became of an item.
type Status int

// The statuses.
const (
	Planned Status = iota + 1 // a dry run would do it
	Done                      // it is so now
	Failed                    // it was tried, or could not be judged
	Refused                   // it must not be done: conflict, missing, invalid, or a finding
	Skipped                   // it was not tried: --fail-fast or an interrupt
)

var statuses = [...]string{"", "planned", "done", "failed", "refused", "skipped"}

// String returns the status's name in reports.
func (s Status) String() string { return statuses[s] }

// Item is one line of a plan: the edges of one destination repository that share digest, action and previous digest.
type Item struct {
	Action      Action
	Status      Status
	Destination name.Repository
	Digest      v1.Hash         // as written, and perhaps malformed, in an invalid item
	Tags        []string        // in order; empty: the digest alone. Shared: not to be modified
	Previous    v1.Hash         // what the tags point to now
	From        name.Repository // that holds the digest, or may hold it
	Present     bool            // the destination holds the digest: only tags are put
	Source      string          // the source reference where it is not From@Digest
	Error       string
	Referrer    bool    // a signature, attestation or other referrer: told, but not counted
	Subject     v1.Hash // the wanted digest that a referrer belongs to
}

// SourceRef returns the reference that the item's content comes from; empty if unknown.
func (it *Item) SourceRef() string {
	if it.Source != "" || it.From == (name.Repository{}) {
		return it.Source
	}
	return it.From.Digest(image.DigestString(it.Digest)).String()
}

// Writes reports whether carrying out the item writes to a registry.
func (it *Item) Writes() bool { return it.Action <= Move && it.Action > 0 && it.Status == Planned }

// Attached returns the digest whose work the item is part of: a referrer's subject, or the item's own.
func (it *Item) Attached() v1.Hash {
	if it.Referrer {
		return it.Subject
	}
	return it.Digest
}

// Edges returns how many edges the item stands for: one a tag, a tagless digest being one.
func (it *Item) Edges() int { return max(1, len(it.Tags)) }

func (r Refusal) item(repo name.Repository) Item {
	status := Refused
	if r.Action == Unreadable {
		status = Failed
	}
	return Item{Action: r.Action, Status: status, Destination: repo, Digest: r.Digest, Tags: r.Tags, Source: r.Source, Error: r.Reason}
}

// Compare orders items by destination, digest, action, previous digest and tags.
func Compare(a, b Item) int {
	return cmp.Or(
		image.CompareRepositories(a.Destination, b.Destination),
		image.CompareDigests(a.Digest, b.Digest),
		cmp.Compare(a.Action, b.Action),
		image.CompareDigests(a.Previous, b.Previous),
		slices.Compare(a.Tags, b.Tags),
		strings.Compare(a.Source, b.Source),
	)
}

// Lack is what a destination lacks and the source must be asked about.
type Lack struct {
	Entries []*Entry    // digests that are not known to be in the destination
	Pins    []SourceTag // source tags of pinned retag entries some edge of which is lacking
}

// Lacking returns what the source has to be asked about before t can be planned.
// A digest whose tags all conflict is not among it: nothing would be copied.
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
			if pin, ok := t.Want.Pins[Edge{e.Digest, tag}]; ok && !slices.Contains(lack.Pins, pin) {
				lack.Pins = append(lack.Pins, pin)
			}
		}
		if wanted && !present {
			lack.Entries = append(lack.Entries, e)
		}
	}
	return lack
}

// Found is what the sources were found to hold of what a destination lacks.
type Found struct {
	Digests map[v1.Hash]Finding
	Pins    map[SourceTag]Resolution
}

// Finding is what is known of one digest at its sources.
type Finding struct {
	State inventory.State
	From  name.Repository // the repository that holds it
	Err   error           // why State is Unknown
}

// Compute compares a target with what its repository holds and with what was
// found at the sources. It returns the items, in order, and the number of edges
// that are up to date. Nothing unknown is taken for absent: such edges come back
// as Unreadable.
func Compute(t *Target, have *inventory.Repository, found Found) (items []Item, upToDate int) {
	for _, r := range t.Want.Refused {
		items = append(items, t.refused(r, have))
	}
	for i := range t.Want.Entries {
		e := &t.Want.Entries[i]
		c := computing{t: t, e: e, have: have, found: found, present: have.Digest(e.Digest)}
		upToDate += c.entry()
		items = append(items, c.items...)
	}
	slices.SortFunc(items, Compare)
	return items, upToDate
}

// Unread returns the items of a target whose repository could not be read.
func Unread(t *Target, err error) []Item {
	var items []Item
	for _, r := range t.Want.Refused {
		items = append(items, r.item(t.Repository))
	}
	for _, e := range t.Want.Entries {
		items = append(items, Item{Action: Unreadable, Status: Failed, Destination: t.Repository, Digest: e.Digest, Tags: e.Tags,
			Source: e.Sources[0].Repository.Digest(e.Digest.String()).String(), Error: err.Error()})
	}
	slices.SortFunc(items, Compare)
	return items
}

// computing is the comparison of one entry.
type computing struct {
	t       *Target
	e       *Entry
	have    *inventory.Repository
	found   Found
	present inventory.State
	items   []Item
}

// entry classifies every edge of the entry and returns how many are up to date.
func (c *computing) entry() (upToDate int) {
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
			c.add(Item{Action: Unreadable, Error: errorText("reading tag "+tag, c.have.Failure(tag))}, tag, v1.Hash{})
		case state == inventory.Present && c.t.ifExists == Leave:
			c.add(Item{Action: Existing}, tag, at)
		case state == inventory.Present && !c.t.mayMove(Edge{c.e.Digest, tag}):
			c.add(Item{Action: Conflict, Error: "tag points to " + at.String() + " and may not move"}, tag, at)
		default:
			c.free(tag, at)
		}
	}
	for i := range c.items {
		if len(c.items[i].Tags) == len(c.e.Tags) {
			c.items[i].Tags = c.e.Tags // share what all destinations have in common
		}
	}
	return upToDate
}

// free adds the item of a tag that may be put. at is what it points to, if anything.
func (c *computing) free(tag string, at v1.Hash) {
	edge := Edge{c.e.Digest, tag}
	if pin, ok := c.t.Want.Pins[edge]; ok {
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

// unpinned returns the item for an edge whose pin the source tag no longer has, and whether it has it.
func (c *computing) unpinned(pin SourceTag) (Item, bool) {
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
	return Item{Action: Unreadable, Source: ref, Error: errorText("reading source tag "+ref, r.Err)}, false
}

// absent returns the item for a digest that the destination lacks.
func (c *computing) absent(action Action) Item {
	f := c.found.Digests[c.e.Digest]
	ref := c.e.Sources[0].Repository.Digest(c.e.Digest.String()).String()
	switch {
	case f.State == inventory.Present:
		return Item{Action: action, From: f.From}
	case f.State == inventory.Unknown:
		return Item{Action: Unreadable, Source: ref, Error: errorText("reading source "+ref, f.Err)}
	case c.present == inventory.Unknown:
		return Item{Action: Unreadable, Source: ref, Error: "neither source nor destination is known to hold the digest"}
	}
	return Item{Action: Missing, Source: ref, Error: "neither source nor destination holds the digest"}
}

// add joins an edge to the item of the same kind, or begins one.
func (c *computing) add(it Item, tag string, previous v1.Hash) {
	for i := range c.items {
		have := &c.items[i]
		if have.Action == it.Action && have.Previous == previous && have.Source == it.Source && have.Error == it.Error && tag != "" {
			have.Tags = append(have.Tags, tag)
			return
		}
	}
	it.Destination, it.Digest, it.Previous = c.t.Repository, c.e.Digest, previous
	switch it.Action {
	case Copy, TagOnly, Move:
		it.Status = Planned
	case Unreadable:
		it.Status = Failed
	case Existing:
		it.Status = Done
	default:
		it.Status = Refused
	}
	if it.Source == "" && it.From == (name.Repository{}) {
		it.From = c.e.Sources[0].Repository
	}
	switch {
	case tag == "":
	case len(c.e.Tags) == 1:
		it.Tags = c.e.Tags
	default:
		it.Tags = []string{tag}
	}
	c.items = append(c.items, it)
}

func errorText(doing string, err error) string {
	if err == nil {
		return doing + ": not read"
	}
	return doing + ": " + err.Error()
}

// mayMove reports whether every registry entry that wants the edge lets its tag move.
func (t *Target) mayMove(edge Edge) bool {
	if t.ifExists == Overwrite {
		return true
	}
	allowed := false
	for _, c := range t.claims {
		if len(t.claims) > 1 && !c.wish.wants(edge) {
			continue
		}
		if !slices.ContainsFunc(c.globs(), func(glob string) bool {
			ok, err := path.Match(glob, edge.Tag)
			return ok && err == nil
		}) {
			return false
		}
		allowed = true
	}
	return allowed
}

func (w *wish) wants(edge Edge) bool {
	return slices.ContainsFunc(w.edges, func(e wishEdge) bool { return e.Edge == edge })
}
