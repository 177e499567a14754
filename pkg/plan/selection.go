package plan

import (
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Selection is a part of a Wanted: what changed (Since), or what was approved
// (Approval.Selection).
type Selection struct {
	parts   map[name.Repository]*part
	invalid map[string]struct{} // selected items of Wanted.Invalid, by Item.entry
	known   map[string]int      // number of faults that the base has, by their key; nil: all are known
}

// part is the selection in one repository. Repositories may share it.
type part struct {
	all      bool
	tags     map[string]struct{}
	digests  map[v1.Hash]struct{} // wanted without a tag
	subjects map[v1.Hash]struct{} // selected because of their referrers
	refused  map[string]struct{}  // invalid entries, by Refusal.entry
}

func newPart() *part {
	return &part{
		tags: map[string]struct{}{}, digests: map[v1.Hash]struct{}{}, subjects: map[v1.Hash]struct{}{}, refused: map[string]struct{}{},
	}
}

func (p *part) hasTag(tag string) bool {
	_, ok := p.tags[tag]
	return p.all || ok
}

// Unpinned returns the source tags of the selected retag entries without a pin, sorted.
// offline is the result of Desired without digests of source tags.
func (s *Selection) Unpinned(offline *Wanted) []SourceTag {
	seen := map[SourceTag]struct{}{}
	for _, t := range offline.Targets {
		p := s.parts[t.Repository]
		if p == nil {
			continue
		}
		for _, r := range t.Retags("") {
			if p.hasTag(r.Tag) {
				seen[r.From] = struct{}{}
			}
		}
	}
	return sortTags(seen)
}

// Select removes all that is not selected. Faults that concern nothing in the selection
// become warnings. This includes the given faults of the manifests, which are returned.
func (w *Wanted) Select(s *Selection, faults []manifest.Fault) []manifest.Fault {
	type key struct {
		want *Want
		part *part
	}
	narrowed := map[key]*Want{}
	before := w.Edges()
	all := reasons(w.Targets)
	var targets []*Target
	for _, t := range w.Targets {
		k := key{t.Want, s.parts[t.Repository]}
		if k.part == nil {
			continue
		}
		if narrowed[k] == nil {
			narrowed[k] = k.part.of(t.Want)
		}
		if n := narrowed[k]; len(n.Entries) > 0 || len(n.Refused) > 0 {
			targets = append(targets, &Target{t.Repository, n, t.destinations, t.ifExists})
		}
	}
	w.Targets = targets
	w.Outside = before - w.Edges()
	w.Invalid = slices.DeleteFunc(slices.Clone(w.Invalid), func(it Item) bool {
		_, ok := s.invalid[it.entry()]
		return !ok
	})
	own := reasons(w.Targets)
	fresh := s.fresh(slices.Concat(faults, w.Faults))
	demote := func(faults []manifest.Fault) []manifest.Fault {
		out := slices.Clone(faults)
		for i := range out {
			f := &out[i]
			_, isFresh := fresh[f.Key()]
			if f.Severity == manifest.Refused && !among(*f, own) && (among(*f, all) || !isFresh) {
				f.Severity = manifest.Warning
			}
		}
		return out
	}
	w.Faults = demote(w.Faults)
	return demote(faults)
}

// fresh returns the keys of the faults that occur more often than in the base.
func (s *Selection) fresh(faults []manifest.Fault) map[string]struct{} {
	out := map[string]struct{}{}
	if s.known == nil {
		return out
	}
	for f, n := range countFaults(faults) {
		if n > s.known[f] {
			out[f] = struct{}{}
		}
	}
	return out
}

func countFaults(faults []manifest.Fault) map[string]int {
	n := map[string]int{}
	for _, f := range faults {
		n[f.Key()]++
	}
	return n
}

// of returns the selected part of a Want.
func (p *part) of(want *Want) *Want {
	if p.all {
		return want
	}
	out := &Want{pins: want.pins}
	for _, e := range want.Entries {
		_, alone := p.digests[e.Digest]
		_, subject := p.subjects[e.Digest]
		switch tags := p.chosen(e.Tags); {
		case len(tags) > 0:
			e.Tags = tags
		case len(e.Tags) == 0 && alone:
		case subject:
			e.Tags = nil
		default:
			continue
		}
		out.Entries = append(out.Entries, e)
	}
	for _, r := range want.Refused {
		_, bad := p.refused[r.entry]
		if r.entry != "" && bad || r.entry == "" && p.hasTag(r.Tag) {
			out.Refused = append(out.Refused, r)
		}
	}
	return out
}

// chosen returns the selected tags. It is the same slice if all are selected.
func (p *part) chosen(tags []string) []string {
	if !slices.ContainsFunc(tags, func(t string) bool { return !p.hasTag(t) }) {
		return tags
	}
	var out []string
	for _, t := range tags {
		if p.hasTag(t) {
			out = append(out, t)
		}
	}
	return out
}

// images returns the images of the target, each once.
func (t *Target) images() []*wantedImage {
	images := make([]*wantedImage, 0, len(t.destinations))
	for _, c := range t.destinations {
		if !slices.Contains(images, c.image) {
			images = append(images, c.image)
		}
	}
	return images
}

// unpinned reports whether the edge is of a retag entry without a pin.
func (e *wantedEdge) unpinned() bool { return e.from != (SourceTag{}) && !e.pinned }

// entry identifies an item of Wanted.Invalid.
func (it *Item) entry() string {
	return strings.Join([]string{it.Destination.String(), it.Digest.String(), it.Source, it.Tag}, "\n")
}
