package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Since returns the edges that are wanted now and were not wanted in base.
//
// An edge counts as changed if its pin, its sources, the policies of these, the permission
// to move its tag, or the way to access its registries is different: an edge that could not
// be promoted before may be possible now. Both arguments are offline, so retag entries without a
// pin are compared by their source tags. faults are those of base's files; a fault that
// base has too is not a change.
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
		invalid[base.Invalid[i].entry()]++
	}
	for i := range now.Invalid {
		id := now.Invalid[i].entry()
		if invalid[id]--; invalid[id] < 0 {
			s.invalid[id] = struct{}{}
		}
	}
	return s
}

// Same reports whether base wants tags of a digest in a repository, too, from the same
// sources and with the same permission to move them. Without tags it is the digest.
func (w *Wanted) Same(base *Wanted, repo name.Repository, d v1.Hash, tags []string) bool {
	now, was := w.Entry(repo, d), base.Entry(repo, d)
	if now == nil || was == nil || !slices.EqualFunc(now.Sources, was.Sources, sameSource) || len(tags) == 0 && len(was.Tags) > 0 {
		return false
	}
	t, b := w.Target(repo), base.Target(repo)
	return !slices.ContainsFunc(tags, func(tag string) bool {
		edge := Edge{d, tag}
		return !slices.Contains(was.Tags, tag) || t.mayMove(edge) != b.mayMove(edge)
	})
}

func sameSource(a, b *Source) bool {
	return a.Repository == b.Repository && slices.Equal(a.Mirrors, b.Mirrors)
}

// edgeID is an edge with the properties that Since compares.
type edgeID struct {
	Edge          // without a digest if it is unpinned
	from   string // source tag of a retag entry
	pinned bool
	source string // Source.reach
}

// reach identifies the repositories of the source, the account for them, and the evidence
// that they must have.
func (s *Source) reach() string { return fmt.Sprint(s.Repository, s.Mirrors, s.account, s.evidence) }

// reach identifies the way to access the target's repository.
func (t *Target) reach() string {
	ways := make([]string, 0, len(t.destinations))
	for _, c := range t.destinations {
		if c.registry != nil {
			ways = append(ways, fmt.Sprint(c.registry.ServiceAccount, c.registry.AbsentStatus))
		}
	}
	slices.Sort(ways)
	return strings.Join(slices.Compact(ways), ",")
}

// ids returns the edges with tags of the target, including refused ones.
func (t *Target) ids() map[edgeID]struct{} {
	ids := map[edgeID]struct{}{}
	for _, img := range t.images() {
		for i := range img.edges {
			if e := &img.edges[i]; e.Tag != "" {
				ids[edgeID{e.Edge, e.from.Tag, e.pinned, e.source.reach()}] = struct{}{}
			}
		}
	}
	return ids
}

// since returns the edges that the target wants and b, the same repository in the base,
// does not. moved are the tags that may move in only one of them.
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
	for id := range was { // a removed edge may have overlapped one that is still wanted
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

// tagless returns the digests that are wanted without a tag, with the reach of their
// sources.
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

// permissions returns the tags that may move in the target or in b, but not in both,
// sorted. Refused tags are left out.
func (t *Target) permissions(b *Target) []string {
	if sameGlobs(slices.Concat(t.destinations, b.destinations)) {
		return nil
	}
	clash := map[string]struct{}{}
	for _, r := range t.Want.Refused {
		if r.entry == "" {
			clash[r.Tag] = struct{}{}
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

// sameGlobs reports whether all destinations have the same mutable tags.
func sameGlobs(destinations []destination) bool {
	return !slices.ContainsFunc(destinations, func(c destination) bool { return !slices.Equal(c.globs(), destinations[0].globs()) })
}

func (c destination) globs() []string {
	if c.registry == nil {
		return nil
	}
	return c.registry.MutableTags
}
