package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Hold limits a plan to the approved edges, and drops all others. It refuses an
// approved edge if wanted, from which the plan was made, does not have it any more, or
// if the destination has changed since the approval.
func (a *Approval) Hold(p *Plan, wanted *Wanted) {
	items := p.Items[:0]
	for _, it := range p.Items {
		if a.hold(&it) {
			items = append(items, it)
		}
	}
	digests := wanted.digests()
	p.UpToDate = 0
	for _, at := range a.unmatched() {
		e := a.edges[at]
		subject := at
		if at.referrer {
			subject = edgeKey{repository: at.repository, reference: e.item.Subject.String()}
		}
		now, ok := digests[subject]
		switch {
		case !ok:
			items = append(items, e.refused("the manifests do not want it"))
		case at.referrer:
			p.Warnings = append(p.Warnings, "nothing to do for "+at.String()+", which belongs to "+e.item.Subject.String()+": the destination has it, or the source does not have it any more")
		case now != e.item.Digest:
			items = append(items, e.refused("the manifests now want "+now.String()+" under that tag"))
		default:
			p.UpToDate++
		}
	}
	slices.SortFunc(items, Compare)
	p.Items = items
}

// hold reports whether an item is approved. It refuses the item if the destination has
// changed since.
func (a *Approval) hold(it *Item) bool {
	e := a.edges[it.key()]
	if e == nil || it.Digest != (v1.Hash{}) && it.Digest != e.item.Digest {
		return it.Action == Unreadable && a.matchReferrers(it.Destination, it.Attached())
	}
	e.matched = true
	if why := e.moved(it); why != "" {
		it.Status, it.Error = Refused, why
	}
	return true
}

// matchReferrers marks the approved referrers of a digest as matched, and reports
// whether there are any.
func (a *Approval) matchReferrers(repo name.Repository, subject v1.Hash) bool {
	found := false
	for at, e := range a.edges {
		if at.referrer && at.repository == repo && e.item.Subject == subject {
			e.matched, found = true, true
		}
	}
	return found
}

// moved returns how the destination has changed since the approval, or "" if it has not.
func (e *approved) moved(now *Item) string {
	then := &e.item
	switch {
	case !now.Action.Writes() && now.Action != Conflict:
		return "" // the item has an error of its own
	case now.Previous != then.Previous && now.Previous == (v1.Hash{}):
		return "moved since the plan: the tag pointed to " + then.Previous.String() + " and does not exist any more"
	case now.Previous != then.Previous && then.Previous == (v1.Hash{}):
		return "moved since the plan: the tag did not exist then, and now points to " + now.Previous.String()
	case now.Previous != then.Previous:
		return "moved since the plan: the tag pointed to " + then.Previous.String() + " and points to " + now.Previous.String()
	case then.Action == TagOnly && now.Action == Copy:
		return "moved since the plan: the destination does not hold the digest any more"
	}
	return ""
}

// refused returns the approved edge as a refused item.
func (e *approved) refused(why string) Item {
	it := e.item
	it.Status, it.Error = Refused, why
	return it
}

// unmatched returns the approved edges that are not in the plan, sorted.
func (a *Approval) unmatched() []edgeKey {
	var out []edgeKey
	for at, e := range a.edges {
		if !e.matched {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b edgeKey) int {
		return cmp.Or(image.CompareRepositories(a.repository, b.repository), strings.Compare(a.reference, b.reference))
	})
	return out
}

// digests returns the wanted digest of each tag. Each digest is also its own key.
func (w *Wanted) digests() map[edgeKey]v1.Hash {
	out := map[edgeKey]v1.Hash{}
	for _, t := range w.Targets {
		for i := range t.Want.Entries {
			e := &t.Want.Entries[i]
			for _, tag := range e.Tags {
				out[edgeKey{repository: t.Repository, reference: tag}] = e.Digest
			}
			out[edgeKey{repository: t.Repository, reference: e.Digest.String()}] = e.Digest
		}
	}
	return out
}
