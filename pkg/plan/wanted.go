// Package plan decides what to promote. It reads from manifests what every destination
// repository should hold (Desired), compares that with what it holds (Lacking,
// Compute), and returns values that can be sorted, printed and stored (Plan, Report).
//
//	manifests ─ Desired ─▶ Wanted, with one Target per destination repository
//	Target, inventory ─ Lacking ─▶ Lack: the questions to the sources
//	Target, inventory, Found ─ Compute ─▶ the Items of a Plan
//
// Memory grows with the manifests and not with the edges: the destinations of an image
// share its Want, and edges that are up to date are only counted. The package does not
// read or write registries, files or clocks.
package plan

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Wanted is what all manifests want.
type Wanted struct {
	Targets []*Target        // by repository
	Invalid []Item           // refused edges of invalid repository names
	Faults  []manifest.Fault // overlaps, with a fault for each position
	Outside int              // number of edges that the last Select removed
	prefix  string
}

// Target is a destination repository and what is wanted there.
type Target struct {
	Repository   name.Repository
	Want         *Want         // shared between the destinations of an image
	destinations []destination // several if manifests share the repository
	ifExists     IfExists
}

// Want is what the manifests want of a repository.
type Want struct {
	Entries []Entry            // by digest
	pins    map[Edge]SourceTag // of retag entries with a pin
	Refused []Refusal          // edges that are refused before a registry is read
}

// Entry returns a digest's entry in a repository, or nil.
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

// Edge is a digest, under a tag or without.
type Edge struct {
	Digest v1.Hash
	Tag    string
}

func compareEdges(a, b Edge) int {
	if c := image.CompareDigests(a.Digest, b.Digest); c != 0 {
		return c
	}
	return strings.Compare(a.Tag, b.Tag)
}

// Entry is a wanted digest with its tags.
type Entry struct {
	Digest  v1.Hash
	Tags    []string  // sorted; empty: the digest is wanted without a tag
	Sources []*Source // in the order of the manifests
}

// Edges returns the edges of the entry: one for each tag, or one without a tag.
func (e *Entry) Edges() iter.Seq[Edge] {
	return func(yield func(Edge) bool) {
		if len(e.Tags) == 0 {
			yield(Edge{Digest: e.Digest})
			return
		}
		for _, tag := range e.Tags {
			if !yield(Edge{e.Digest, tag}) {
				return
			}
		}
	}
}

// Source is a source repository and its mirrors.
type Source struct {
	Repository name.Repository
	Mirrors    []name.Repository
	account    string // of the registry entry
	evidence   string // that policies demand of its images
	image      string // the name in the manifest
}

// SourceTag is a tag in a source repository.
type SourceTag struct {
	Repository name.Repository
	Tag        string
}

// Resolution is the result of reading a source tag.
type Resolution struct {
	Digest v1.Hash // when State is Present
	State  inventory.State
	Err    error // why State is Unknown
}

// Refusal is an edge refused before a registry is read.
type Refusal struct {
	Action Action // Invalid, Missing or Unreadable
	Edge          // as written: digest and tag may be malformed
	Source string // the source reference; may be empty
	Reason string
	entry  string        // the content of an invalid entry, without its position; empty: an edge is refused
	pos    *manifest.Pos // of an invalid entry

	retryable bool // it is Unreadable, and another run may cure that
}

// Overlaps reports whether a tag is refused because it is wanted for several digests.
func (w *Want) Overlaps(tag string) bool {
	return slices.ContainsFunc(w.Refused, func(r Refusal) bool {
		return r.Action == Invalid && r.entry == "" && r.Tag == tag
	})
}

// Digests returns the wanted digests with their tags.
func (w *Want) Digests() iter.Seq2[v1.Hash, []string] {
	return func(yield func(v1.Hash, []string) bool) {
		for i := range w.Entries {
			if !yield(w.Entries[i].Digest, w.Entries[i].Tags) {
				return
			}
		}
	}
}

// Retag is a retag entry without a pin: it wants the digest of its source tag.
type Retag struct {
	From SourceTag
	Tag  string
	Pos  manifest.Pos
}

// Retags returns the retag entries without a pin for a tag, or all if tag is empty.
func (t *Target) Retags(tag string) []Retag {
	var all []Retag
	for _, img := range t.images() {
		for i := range img.edges {
			if e := &img.edges[i]; e.unpinned() && (tag == "" || e.Tag == tag) {
				all = append(all, Retag{e.from, e.Tag, e.pos})
			}
		}
	}
	return all
}

// Target returns the target of a repository, or nil.
func (w *Wanted) Target(repo name.Repository) *Target {
	i, ok := slices.BinarySearchFunc(w.Targets, repo, func(t *Target, r name.Repository) int { return image.CompareRepositories(t.Repository, r) })
	if !ok {
		return nil
	}
	return w.Targets[i]
}

// Edges returns the number of wanted edges that are not refused. A digest without tags
// is one edge.
func (w *Wanted) Edges() int {
	n := 0
	for _, t := range w.Targets {
		for i := range t.Want.Entries {
			n += max(1, len(t.Want.Entries[i].Tags))
		}
	}
	return n
}

// Candidates returns the repositories that the entry may be read from, best first.
// These are the mirrors on the destination host, whose blobs can be mounted, then the
// sources, then the other mirrors.
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

// destination is an image of a manifest at one of its destinations.
type destination struct {
	image    *wantedImage
	registry *manifest.Registry // the destination entry; nil in a native file
}

// Referrers returns what the target gets of its sources' referrers. usual is what it gets
// if no manifest says it; of several manifests that say it the one with the most counts.
func (t *Target) Referrers(usual manifest.ReferrersMode) manifest.ReferrersMode {
	var most manifest.ReferrersMode
	for _, d := range t.destinations {
		if d.registry != nil {
			most = max(most, d.registry.Referrers)
		}
	}
	return cmp.Or(most, usual)
}

// Unpinned returns the source tags of retag entries without a pin, sorted. Desired
// needs their digests.
func Unpinned(set *manifest.Set) []SourceTag {
	seen := map[SourceTag]struct{}{}
	for _, m := range set.Manifests {
		for i := range m.Images {
			img := &m.Images[i]
			src, err := m.SourceRepository(img)
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
	return slices.SortedFunc(maps.Keys(seen), func(a, b SourceTag) int {
		return cmp.Or(image.CompareRepositories(a.Repository, b.Repository), strings.Compare(a.Tag, b.Tag))
	})
}

// Snapshot returns what is wanted below a registry, as a snapshot of a registry.
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
