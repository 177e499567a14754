package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// Shard is one of Count disjoint parts. Index counts from 0. The zero value is everything.
type Shard struct{ Index, Count int }

// Quota returns the shard's part of a quota for all shards together.
func (s Shard) Quota(all float64) float64 { return all / float64(max(1, s.Count)) }

// ParseShard parses "I/N" with 0 ≤ I < N. The empty string is everything.
func ParseShard(s string) (Shard, error) {
	if s == "" {
		return Shard{}, nil
	}
	i, n, _ := strings.Cut(s, "/")
	index, err := strconv.Atoi(i)
	count, countErr := strconv.Atoi(n)
	if err != nil || countErr != nil || index < 0 || index >= count {
		return Shard{}, errors.New("want I/N with 0 ≤ I < N: parts are numbered from 0")
	}
	return Shard{index, count}, nil
}

// Shards divides wanted edges into disjoint parts by source repository.
//
// Everything that is promoted from one source repository is in one part, so that its
// content is read once. Sources of the same destination repository are in the same part
// too, so that the destination is read once. The parts depend on the manifests and the
// selections alone.
type Shards struct {
	parts      map[name.Repository]int // of source and destination repositories
	count      int
	targets    []*Target
	selections []*Selection
}

// ShardSize is the size of one part.
type ShardSize struct {
	Shard        string `json:"shard"`        // "I/N"
	Repositories int    `json:"repositories"` // source repositories
	Images       int    `json:"images"`       // digests in them
	Tags         int    `json:"tags"`         // edges: a digest without a tag is one
}

// Shards divides the edges that all selections have into count parts. The heaviest
// sources are assigned first, each to the lightest part. w is the result of Desired
// without digests of source tags.
func (w *Wanted) Shards(count int, selections ...*Selection) *Shards {
	s := &Shards{parts: map[name.Repository]int{}, count: count, targets: w.Targets, selections: selections}
	related := relatives{}
	for _, t := range w.Targets {
		for _, img := range t.images() {
			related.join(img.source, t.Repository)
		}
	}
	type family struct {
		first  name.Repository // its source repository that sorts first
		weight int
	}
	families := map[name.Repository]*family{}
	for _, t := range w.Targets {
		f := families[related.root(t.Repository)]
		if f == nil {
			f = &family{first: t.images()[0].source}
			families[related.root(t.Repository)] = f
		}
		for _, img := range t.images() {
			f.first = slices.MinFunc([]name.Repository{f.first, img.source}, image.CompareRepositories)
		}
		s.selected(t, func(*wantedImage, Edge) { f.weight++ })
	}
	order := make([]*family, 0, len(families))
	for _, f := range families {
		order = append(order, f)
	}
	slices.SortFunc(order, func(a, b *family) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), image.CompareRepositories(a.first, b.first))
	})
	weights := make([]int, count)
	part := map[*family]int{}
	for _, f := range order {
		lightest := slices.Index(weights, slices.Min(weights))
		weights[lightest] += f.weight
		part[f] = lightest
	}
	for repo := range related {
		s.parts[repo] = part[families[related.root(repo)]]
	}
	return s
}

// selected calls f for each edge of a target that all selections have.
func (s *Shards) selected(t *Target, f func(*wantedImage, Edge)) {
	for _, img := range t.images() {
		var last *wantedEdge
		for _, i := range img.sorted() {
			e := &img.edges[i]
			if last != nil && last.Edge == e.Edge && last.from == e.from {
				continue
			}
			last = e
			if !slices.ContainsFunc(s.selections, func(s *Selection) bool { return !s.parts[t.Repository].selects(e.Edge) }) {
				f(img, e.Edge)
			}
		}
	}
}

// selects reports whether a part has an edge.
func (p *part) selects(e Edge) bool {
	if p == nil {
		return false
	}
	if e.Tag != "" {
		return p.hasTag(e.Tag)
	}
	_, ok := p.digests[e.Digest]
	return p.all || ok
}

// Sizes returns the sizes of all parts.
func (s *Shards) Sizes() []ShardSize {
	type content struct {
		source name.Repository
		Edge   // without a tag, but for retag entries without a digest
	}
	sizes := make([]ShardSize, s.count)
	for i := range sizes {
		sizes[i].Shard = fmt.Sprintf("%d/%d", i, s.count)
	}
	sources, images := map[name.Repository]struct{}{}, map[content]struct{}{}
	for _, t := range s.targets {
		size := &sizes[s.parts[t.Repository]]
		s.selected(t, func(img *wantedImage, e Edge) {
			size.Tags++
			if e.Digest != (v1.Hash{}) {
				e.Tag = ""
			}
			if _, ok := images[content{img.source, e}]; !ok {
				images[content{img.source, e}] = struct{}{}
				size.Images++
			}
			if _, ok := sources[img.source]; !ok {
				sources[img.source] = struct{}{}
				size.Repositories++
			}
		})
	}
	return sizes
}

// Has reports whether a part has a source or destination repository. Repositories that
// are not in the manifests are in part 0.
func (s *Shards) Has(index int, repo name.Repository) bool { return s.parts[repo] == index }

// Shard keeps one part, and removes the others. Invalid repository names are in part 0.
// A fault is kept in the part that has an edge it concerns, or in part 0 if there is no
// such edge. This includes the given faults of the manifests, which are returned.
func (w *Wanted) Shard(shards *Shards, index int, faults []manifest.Fault) []manifest.Fault {
	all := reasons(w.Targets)
	w.Targets = slices.DeleteFunc(slices.Clone(w.Targets), func(t *Target) bool { return !shards.Has(index, t.Repository) })
	own := reasons(w.Targets)
	if index != 0 {
		w.Invalid = nil
	}
	elsewhere := func(f manifest.Fault) bool {
		if !among(f, all) {
			return index != 0
		}
		return !among(f, own)
	}
	w.Faults = slices.DeleteFunc(w.Faults, elsewhere)
	return slices.DeleteFunc(slices.Clone(faults), elsewhere)
}

// relatives joins repositories into families. Each repository leads to another one of its
// family, and the root to itself.
type relatives map[name.Repository]name.Repository

// root returns the repository that represents the family of repo.
func (r relatives) root(repo name.Repository) name.Repository {
	for {
		next, ok := r[repo]
		if !ok {
			r[repo] = repo
			return repo
		}
		if next == repo {
			return repo
		}
		r[repo] = r[next] // halves the way for the next time
		repo = next
	}
}

func (r relatives) join(a, b name.Repository) { r[r.root(a)] = r.root(b) }

// reasons returns the reasons of all refusals of the targets.
func reasons(targets []*Target) map[string]struct{} {
	out := map[string]struct{}{}
	for _, t := range targets {
		for _, r := range t.Want.Refused {
			out[r.Reason] = struct{}{}
		}
	}
	return out
}

// among reports whether a fault is the reason of a refusal. The reason has the position
// of the fault if it concerns one entry, and no position if it concerns several.
func among(f manifest.Fault, reasons map[string]struct{}) bool {
	_, one := reasons[f.String()]
	_, several := reasons[f.Message]
	return one || several
}
