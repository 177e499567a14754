package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Since returns what is wanted now that base did not want, both offline: edges of
// (destination repository, digest, tag), a tagless digest being one. An edge whose
// tag may move now and might not then, or the other way round, is another one, and
// so is one with another pin, one that is read elsewhere, and one whose registries
// are spoken to in another way: what could not be promoted then may be now. Retag
// entries without a pin are compared by their source tags. faults are those of
// base's files: what is wrong now and was then is no change.
func Since(now, base *Wanted, faults []manifest.Fault) *Selection {
	s := &Selection{
		parts: map[name.Repository]*part{}, invalid: map[string]struct{}{}, known: countFaults(slices.Concat(faults, base.Faults)),
	}
	was := make(map[name.Repository]*Target, len(base.Targets))
	for _, t := range base.Targets {
		was[t.Repository] = t
	}
	type key struct {
		now, base *Want
		moved     string // the tags whose permission changed: "," is in no tag
	}
	compared := map[key]*part{}
	whole := &part{all: true}
	for _, t := range now.Targets {
		b := was[t.Repository]
		if b == nil || t.reach() != b.reach() {
			s.parts[t.Repository] = whole
			continue
		}
		moved := t.permissions(b)
		k := key{t.Want, b.Want, strings.Join(moved, ",")}
		if compared[k] == nil {
			compared[k] = t.since(b, moved)
		}
		s.parts[t.Repository] = compared[k]
	}
	invalid := map[string]int{}
	for i := range base.Invalid {
		invalid[base.Invalid[i].wish()]++
	}
	for i := range now.Invalid {
		id := now.Invalid[i].wish()
		if invalid[id]--; invalid[id] < 0 {
			s.invalid[id] = struct{}{}
		}
	}
	return s
}

// edgeID is an edge and how it is wanted.
type edgeID struct {
	Edge          // without a digest, if unpinned
	from   string // source tag of a retag entry
	pinned bool
	source string // Source.reach
}

// reach tells sources apart by where and how they are read.
func (s *Source) reach() string { return fmt.Sprint(s.Repository, s.Mirrors, s.account) }

// reach tells how the target's repository is spoken to.
func (t *Target) reach() string {
	ways := make([]string, 0, len(t.claims))
	for _, c := range t.claims {
		if c.registry != nil {
			ways = append(ways, fmt.Sprint(c.registry.ServiceAccount, c.registry.AbsentStatus))
		}
	}
	slices.Sort(ways)
	return strings.Join(slices.Compact(ways), ",")
}

// ids returns the edges that the target's manifests ask for under tags, granted or not.
func (t *Target) ids() map[edgeID]struct{} {
	ids := map[edgeID]struct{}{}
	for _, wi := range t.wishes() {
		for i := range wi.edges {
			if e := &wi.edges[i]; e.Tag != "" {
				ids[edgeID{e.Edge, e.from.Tag, e.pinned, e.source.reach()}] = struct{}{}
			}
		}
	}
	return ids
}

// since returns what the target wants that b, the same repository, did not. moved are the tags that may
// move in one of them only.
func (t *Target) since(b *Target, moved []string) *part {
	p := newPart()
	for _, tag := range moved {
		p.tags[tag] = struct{}{}
	}
	now, was := t.ids(), b.ids()
	for id := range now {
		if _, ok := was[id]; !ok {
			p.tags[id.Tag] = struct{}{}
		}
	}
	for id := range was { // what is gone may have been in the way of what is still wanted
		if _, ok := now[id]; !ok {
			p.tags[id.Tag] = struct{}{}
		}
	}
	alone := b.Want.tagless()
	for d, from := range t.Want.tagless() {
		if alone[d] != from {
			p.digests[d] = struct{}{}
		}
	}
	bad := map[string]int{}
	for _, r := range b.Want.Refused {
		bad[r.entry]++
	}
	for _, r := range t.Want.Refused {
		if bad[r.entry]--; bad[r.entry] < 0 && r.entry != "" {
			p.refused[r.entry] = struct{}{}
		}
	}
	return p
}

// tagless returns the digests that are wanted without a tag, and where they are read.
func (w *Want) tagless() map[v1.Hash]string {
	out := map[v1.Hash]string{}
	for i := range w.Entries {
		if e := &w.Entries[i]; len(e.Tags) == 0 {
			var from []string
			for _, s := range e.Sources {
				from = append(from, s.reach())
			}
			slices.Sort(from)
			out[e.Digest] = strings.Join(slices.Compact(from), ",")
		}
	}
	return out
}

// permissions returns the tags, sorted, that are granted in the target and may move there or in b, but not in both.
func (t *Target) permissions(b *Target) []string {
	if sameGlobs(slices.Concat(t.claims, b.claims)) {
		return nil
	}
	clash := map[string]struct{}{}
	for _, r := range t.Want.Refused {
		if r.entry == "" {
			clash[r.Tags[0]] = struct{}{} // of an edge, which has one tag
		}
	}
	was := b.ids()
	var tags []string
	for id := range t.ids() {
		_, there := was[id]
		if _, refused := clash[id.Tag]; there && !refused && t.mayMove(id.Edge) != b.mayMove(id.Edge) {
			tags = append(tags, id.Tag)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// sameGlobs reports whether the same tags may move for all claims.
func sameGlobs(claims []claim) bool {
	return !slices.ContainsFunc(claims, func(c claim) bool { return !slices.Equal(c.globs(), claims[0].globs()) })
}

func (c claim) globs() []string {
	if c.registry == nil {
		return nil
	}
	return c.registry.MutableTags
}
