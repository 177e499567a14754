// Package plan says what to do: it turns manifests into what every destination
// repository should hold (Desired), compares that with what it does hold
// (Lacking, Compute), and describes the result as values that sort, print and
// marshal (Plan, Report).
//
//	manifests ─ Desired ─▶ Wanted, one Target per destination repository
//	Target, inventory ─ Lacking ─▶ Lack: what the source has to be asked about
//	Target, inventory, what was found ─ Compute ─▶ Items of a Plan
//
// Memory follows the manifests, not the edges: the destinations of one image
// share its Want, and an edge that is up to date is only counted. Nothing here
// reads or writes a registry, a file or a clock.
package plan

import (
	"iter"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Wanted is what all manifests together want.
type Wanted struct {
	Targets  []*Target        // by repository
	Invalid  []Item           // wishes that name no possible repository, refused
	Faults   []manifest.Fault // overlaps, each at every place that takes part
	Warnings []string
	Outside  int // edges that the last Select left out
}

// Target is one destination repository and what is wanted there.
type Target struct {
	Repository name.Repository
	Want       *Want   // shared between the destinations of an image
	claims     []claim // who wants it; several where manifests meet in one repository
	ifExists   IfExists
}

// Want is what is wanted of a repository: the union of one or more manifests' wishes.
type Want struct {
	Entries []Entry            // by digest
	Pins    map[Edge]SourceTag // the edges of pinned retag entries
	Refused []Refusal          // wishes that are not granted, whatever the registries hold
}

// Entry returns what is wanted of a digest in a repository, or nil.
func (w *Wanted) Entry(repo name.Repository, d v1.Hash) *Entry {
	t := w.Target(repo)
	if t == nil {
		return nil
	}
	entries := t.Want.Entries
	i, ok := slices.BinarySearchFunc(entries, d, func(e Entry, d v1.Hash) int { return image.CompareDigests(e.Digest, d) })
	if !ok {
		return nil
	}
	return &entries[i]
}

// Edge is one wish: a digest under a tag, or under none.
type Edge struct {
	Digest v1.Hash
	Tag    string
}

// Entry is one wanted digest and its tags, in order. No tags: it is wanted by digest alone.
type Entry struct {
	Digest  v1.Hash
	Tags    []string
	Sources []*Source // where it may be read, in the order of the manifests
}

// Source is a source repository and its mirrors.
type Source struct {
	Repository name.Repository
	Mirrors    []name.Repository
	account    string // of the registry entry
}

// SourceTag is a tag in a source repository.
type SourceTag struct {
	Repository name.Repository
	Tag        string
}

// Resolution is what a source tag was found to be.
type Resolution struct {
	Digest v1.Hash // when State is Present
	State  inventory.State
	Err    error // why State is Unknown
}

// Refusal is a wish that is refused for a reason known before a destination is read.
type Refusal struct {
	Action Action // Invalid, Missing or Unreadable
	Digest v1.Hash
	Tags   []string
	Source string // the source reference, where there is one
	Reason string
	entry  string // what a bad entry asks for, wherever it stands; empty: the refusal is of an edge
}

// Overlaps reports whether a tag is refused because it is wanted for several digests.
func (w *Want) Overlaps(tag string) bool {
	return slices.ContainsFunc(w.Refused, func(r Refusal) bool {
		return r.Action == Invalid && r.entry == "" && slices.Contains(r.Tags, tag)
	})
}

// Wishes returns the wanted digests, each with its tags.
func (w *Want) Wishes() iter.Seq2[v1.Hash, []string] {
	return func(yield func(v1.Hash, []string) bool) {
		for i := range w.Entries {
			if !yield(w.Entries[i].Digest, w.Entries[i].Tags) {
				return
			}
		}
	}
}

// Pos returns the place that wants a digest under a tag: of the tag, or of the digest if tag is empty.
func (t *Target) Pos(d v1.Hash, tag string) manifest.Pos {
	for _, wi := range t.wishes() {
		if tag == "" {
			if pos, ok := wi.entries()[d]; ok {
				return pos
			}
			continue
		}
		for i := range wi.edges {
			if e := &wi.edges[i]; e.Digest == d && e.Tag == tag {
				return e.pos
			}
		}
	}
	return manifest.Pos{}
}

// Retag is a retag entry without a pin: its digest is whatever its source tag has.
type Retag struct {
	From SourceTag
	Tag  string
	Pos  manifest.Pos
}

// Retags returns the retag entries without a pin that want a tag, or any if tag is empty.
func (t *Target) Retags(tag string) []Retag {
	var all []Retag
	for _, wi := range t.wishes() {
		for i := range wi.edges {
			if e := &wi.edges[i]; e.unpinned() && (tag == "" || e.Tag == tag) {
				all = append(all, Retag{e.from, e.Tag, e.pos})
			}
		}
	}
	return all
}

// Target returns what is wanted of a repository, or nil.
func (w *Wanted) Target(repo name.Repository) *Target {
	i, ok := slices.BinarySearchFunc(w.Targets, repo, func(t *Target, r name.Repository) int { return image.CompareRepositories(t.Repository, r) })
	if !ok {
		return nil
	}
	return w.Targets[i]
}

// Edges returns how many edges are wanted and granted, a tagless digest being one.
func (w *Wanted) Edges() int {
	n := 0
	for _, t := range w.Targets {
		for i := range t.Want.Entries {
			n += max(1, len(t.Want.Entries[i].Tags))
		}
	}
	return n
}

// Candidates returns where the entry may be read for a destination host, best
// first: mirrors on that host, whose blobs can be mounted, then the sources, then
// the other mirrors.
func (e *Entry) Candidates(host string) []name.Repository {
	var near, sources, far []name.Repository
	for _, s := range e.Sources {
		sources = append(sources, s.Repository)
		for _, m := range s.Mirrors {
			if m.RegistryStr() == host {
				near = append(near, m)
			} else {
				far = append(far, m)
			}
		}
	}
	if len(near) == 0 && len(far) == 0 {
		return sources
	}
	all := append(append(near, sources...), far...)
	out := all[:0]
	for _, r := range all {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// claim is one manifest's wish for a target.
type claim struct {
	wish     *wish
	registry *manifest.Registry // the destination entry; nil in a native file
}

// Unpinned returns the source tags that have to be read before Desired can say
// which digests the manifests want: those of retag entries without a pin, sorted.
func Unpinned(set *manifest.Set) []SourceTag {
	seen := map[SourceTag]struct{}{}
	for _, m := range set.Manifests {
		for i := range m.Images {
			img := &m.Images[i]
			src, err := sourceRepository(m, img)
			if err != nil {
				continue // Desired refuses it
			}
			for _, r := range img.Retags {
				if r.Digest == (v1.Hash{}) {
					seen[SourceTag{src, r.SourceTag}] = struct{}{}
				}
			}
		}
	}
	return sortTags(seen)
}

func sortTags(seen map[SourceTag]struct{}) []SourceTag {
	tags := make([]SourceTag, 0, len(seen))
	for t := range seen {
		tags = append(tags, t)
	}
	slices.SortFunc(tags, func(a, b SourceTag) int {
		if c := image.CompareRepositories(a.Repository, b.Repository); c != 0 {
			return c
		}
		return strings.Compare(a.Tag, b.Tag)
	})
	return tags
}

func sourceRepository(m *manifest.Manifest, img *manifest.Image) (name.Repository, error) {
	if m.Native {
		return img.Repository, nil
	}
	return m.Source.Name.Repository(img.Name)
}

// Snapshot returns what is wanted below a registry, in the form of what a registry holds.
func (w *Wanted) Snapshot(root image.Registry) inventory.Snapshot {
	var s inventory.Snapshot
	for _, t := range w.Targets {
		name, ok := root.Relative(t.Repository)
		if !ok || len(t.Want.Entries) == 0 {
			continue
		}
		img := inventory.Image{Name: name, Digests: make([]inventory.Tagged, len(t.Want.Entries))}
		for i, e := range t.Want.Entries {
			img.Digests[i] = inventory.Tagged{Digest: e.Digest, Tags: e.Tags}
		}
		s = append(s, img)
	}
	return s.Sort()
}
