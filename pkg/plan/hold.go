package plan

import (
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Hold keeps of a plan what is approved and still as it was when it was approved,
// and refuses, with a reason, what is not: what wanted, from which the plan was
// made, does not hold any more, and what has changed in the destination. What is
// not approved is dropped.
func (a *Approval) Hold(p *Plan, wanted *Wanted) {
	var items []Item
	for i := range p.Items {
		items = append(items, a.hold(&p.Items[i])...)
	}
	granted := wanted.granted()
	p.UpToDate = 0
	for _, at := range a.unmet() {
		e := a.edges[at]
		subject := at
		if at.referrer {
			subject = spot{repository: at.repository, reference: e.item.Subject.String()}
		}
		now, ok := granted[subject]
		switch {
		case !ok:
			items = append(items, e.refused("the manifests do not want it"))
		case at.referrer:
			p.Warnings = append(p.Warnings, "nothing to do for "+at.String()+", which belongs to "+e.item.Subject.String()+": it is there, or gone from the source")
		case now != e.item.Digest:
			items = append(items, e.refused("the manifests now want "+now.String()+" under that tag"))
		default:
			p.UpToDate++
		}
	}
	p.Items = join(items)
}

// hold returns what an item becomes, one edge each: none of what is not approved.
func (a *Approval) hold(it *Item) []Item {
	tags := it.Tags
	if len(tags) == 0 {
		tags = []string{""}
	}
	var out []Item
	for _, tag := range tags {
		e := a.edges[spot{it.Destination, tag, it.Referrer}]
		if tag == "" {
			e = a.edges[spot{it.Destination, it.Digest.String(), it.Referrer}]
		}
		one := *it
		one.Tags = nil
		if tag != "" {
			one.Tags = []string{tag}
		}
		if e == nil || it.Digest != (v1.Hash{}) && it.Digest != e.item.Digest {
			if it.Action == Unreadable && a.meetReferrers(it.Destination, it.Attached()) {
				out = append(out, one)
			}
			continue
		}
		e.met = true
		if why := e.moved(it); why != "" {
			one.Status, one.Error = Refused, why
		}
		out = append(out, one)
	}
	return out
}

// meetReferrers notes that the plan tells of a digest's referrers, and reports whether found are approved.
func (a *Approval) meetReferrers(repo name.Repository, subject v1.Hash) bool {
	found := false
	for at, e := range a.edges {
		if at.referrer && at.repository == repo && e.item.Subject == subject {
			e.met, found = true, true
		}
	}
	return found
}

// moved returns in what way the destination is not as it was, if that matters.
func (e *approved) moved(now *Item) string {
	then := &e.item
	switch {
	case now.Action > Conflict:
		return "" // it says why itself
	case now.Previous != then.Previous && now.Previous == (v1.Hash{}):
		return "moved since the plan: the tag pointed to " + then.Previous.String() + " and is gone"
	case now.Previous != then.Previous && then.Previous == (v1.Hash{}):
		return "moved since the plan: the tag did not exist and points to " + now.Previous.String()
	case now.Previous != then.Previous:
		return "moved since the plan: the tag pointed to " + then.Previous.String() + " and points to " + now.Previous.String()
	case then.Action == TagOnly && now.Action == Copy:
		return "moved since the plan: the destination does not hold the digest any more"
	}
	return ""
}

// refused returns the edge as it was approved, refused.
func (e *approved) refused(why string) Item {
	it := e.item
	it.Status, it.Error, it.Tags = Refused, why, nil
	if e.tag != "" {
		it.Tags = []string{e.tag}
	}
	return it
}

// unmet returns what is approved and not among the items of the plan, in order.
func (a *Approval) unmet() []spot {
	var out []spot
	for at, e := range a.edges {
		if !e.met {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b spot) int {
		if c := image.CompareRepositories(a.repository, b.repository); c != 0 {
			return c
		}
		return strings.Compare(a.reference, b.reference)
	})
	return out
}

// granted returns the digest that is wanted in each spot, and under its own name each wanted digest.
func (w *Wanted) granted() map[spot]v1.Hash {
	out := map[spot]v1.Hash{}
	for _, t := range w.Targets {
		for i := range t.Want.Entries {
			e := &t.Want.Entries[i]
			for _, tag := range e.Tags {
				out[spot{repository: t.Repository, reference: tag}] = e.Digest
			}
			out[spot{repository: t.Repository, reference: e.Digest.String()}] = e.Digest
		}
	}
	return out
}

// join unites items of one edge each that differ in their tags alone, and sorts them.
func join(items []Item) []Item {
	slices.SortFunc(items, func(a, b Item) int {
		ta, tb := a.Tags, b.Tags
		a.Tags, b.Tags = nil, nil
		if c := Compare(a, b); c != 0 {
			return c
		}
		if c := strings.Compare(a.Error, b.Error); c != 0 {
			return c
		}
		return slices.Compare(ta, tb)
	})
	var out []Item
	for i := range items {
		it := &items[i]
		if n := len(out) - 1; n >= 0 && len(it.Tags) > 0 && len(out[n].Tags) > 0 && out[n].joins(it) {
			out[n].Tags = append(out[n].Tags, it.Tags...)
			continue
		}
		out = append(out, *it)
	}
	slices.SortFunc(out, Compare)
	return out
}

// joins reports whether two items differ in their tags at most.
func (it *Item) joins(o *Item) bool {
	return it.Action == o.Action && it.Status == o.Status && it.Destination == o.Destination && it.Digest == o.Digest &&
		it.Previous == o.Previous && it.From == o.From && it.Present == o.Present && it.Source == o.Source && it.Error == o.Error &&
		it.Referrer == o.Referrer && it.Subject == o.Subject
}
