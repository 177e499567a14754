package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// wantedImage holds what one manifest wants of one image name, at all its destinations.
type wantedImage struct {
	source  name.Repository
	edges   []wantedEdge
	refused []Refusal
	sorted  func() []int32 // the indices of the edges, by digest and tag; computed when they are needed
}

func newWantedImage(source name.Repository) *wantedImage {
	img := &wantedImage{source: source}
	img.sorted = sync.OnceValue(func() []int32 {
		all := make([]int32, len(img.edges))
		for i := range all {
			all[i] = int32(i)
		}
		slices.SortFunc(all, func(a, b int32) int {
			return cmp.Or(compareEdges(img.edges[a].Edge, img.edges[b].Edge), cmp.Compare(a, b))
		})
		return all
	})
	return img
}

// wantedEdge is a wanted edge, with its position and source.
type wantedEdge struct {
	Edge   // without a digest if it is a retag entry that is not resolved
	pos    manifest.Pos
	entry  manifest.Pos // of the dmap key
	source *Source
	from   SourceTag // of a retag entry
	pinned bool
}

// builder builds a Wanted from manifests.
type builder struct {
	resolved map[SourceTag]Resolution // nil: offline
	wanted   *Wanted
	targets  map[name.Repository]*Target
	seen     map[string]struct{}          // faults that are reported
	demands  func(name.Repository) string // what policies demand of a source's images
}

// Desired returns what the manifests want of every destination repository.
//
// resolved holds the digests of the tags that Unpinned returns. With nil, which means
// offline, retag entries without a pin are compared with each other, and left out.
func Desired(set *manifest.Set, resolved map[SourceTag]Resolution) *Wanted {
	b := &builder{
		resolved: resolved,
		wanted:   &Wanted{prefix: set.Prefix},
		targets:  map[name.Repository]*Target{},
		seen:     map[string]struct{}{},
		demands:  set.Policies().Demands,
	}
	for _, m := range set.Manifests {
		b.add(m)
	}
	b.merge()
	return b.wanted
}

// add adds the images of one manifest.
func (b *builder) add(m *manifest.Manifest) {
	images := map[string]*wantedImage{}
	var names []string
	of := func(name string) *wantedImage {
		if images[name] == nil {
			images[name] = newWantedImage(sourceNamed(m, name))
			names = append(names, name)
		}
		return images[name]
	}
	sources := map[string]*Source{}
	for i := range m.Images {
		img := &m.Images[i]
		src := sources[img.Name]
		if src == nil {
			var err error
			if src, err = sourceOf(m, img); err != nil {
				b.fault(img.Pos, err.Error(), "")
				continue
			}
			src.evidence = b.demands(src.Repository)
			sources[img.Name] = src
		}
		b.addImage(of(img.Name), img, src)
	}
	for i := range m.Refused {
		r := &m.Refused[i]
		of(r.Name).refused = append(of(r.Name).refused, refusals(m, r)...)
	}
	for _, name := range names {
		if m.Native {
			b.addNative(name, images[name])
			continue
		}
		for _, dst := range m.Destinations {
			repo, err := dst.Name.Repository(name)
			if err != nil {
				b.refuseName(dst.Name, name, images[name], err)
				continue
			}
			b.addTarget(repo, destination{images[name], dst})
		}
	}
}

// addNative adds the target of a native entry, which is its own source.
func (b *builder) addNative(name string, img *wantedImage) {
	if _, err := image.ParseRepository(name); err == nil {
		b.addTarget(img.source, destination{image: img})
		return
	}
	for i := range img.refused {
		b.wanted.Invalid = append(b.wanted.Invalid, img.refused[i].item(img.source))
	}
}

// addTarget adds a destination to the target of a repository.
func (b *builder) addTarget(repo name.Repository, d destination) {
	t := b.targets[repo]
	if t == nil {
		t = &Target{Repository: repo}
		b.targets[repo] = t
	}
	t.destinations = append(t.destinations, d)
}

// addImage adds the edges of one images entry.
func (b *builder) addImage(to *wantedImage, img *manifest.Image, src *Source) {
	for i := range img.Digests {
		d := &img.Digests[i]
		if len(d.Tags) == 0 {
			to.edges = append(to.edges, wantedEdge{Edge: Edge{Digest: d.Digest}, pos: d.Pos, entry: d.Pos, source: src})
		}
		for _, t := range d.Tags {
			to.edges = append(to.edges, wantedEdge{Edge: Edge{d.Digest, t.Name}, pos: t.Pos, entry: d.Pos, source: src})
		}
	}
	for _, r := range img.Retags {
		e := wantedEdge{Edge: Edge{r.Digest, r.Tag}, pos: r.Pos, entry: r.Pos, source: src, from: SourceTag{src.Repository, r.SourceTag}, pinned: r.Digest != (v1.Hash{})}
		if !e.pinned {
			e.Digest = b.resolved[e.from].Digest
		}
		to.edges = append(to.edges, e)
	}
}

// merge sets the Want of every target. Targets of the same one or two images share it.
func (b *builder) merge() {
	type pair struct{ first, second *wantedImage }
	b.wanted.Targets = make([]*Target, 0, len(b.targets))
	sharing := map[pair]int{}
	of := func(t *Target) (images []*wantedImage, key pair) {
		images = t.images()
		switch len(images) {
		case 1:
			key.first = images[0]
		case 2:
			key = pair{images[0], images[1]}
		}
		return images, key
	}
	for _, t := range b.targets {
		b.wanted.Targets = append(b.wanted.Targets, t)
		_, key := of(t)
		sharing[key]++
	}
	slices.SortFunc(b.wanted.Targets, func(a, b *Target) int { return image.CompareRepositories(a.Repository, b.Repository) })
	shared := map[pair]*Want{}
	for _, t := range b.wanted.Targets {
		images, key := of(t)
		t.Want = shared[key]
		if t.Want != nil {
			continue
		}
		where := t.Repository.String()
		if more := sharing[key] - 1; key != (pair{}) && more == 1 {
			where += " (and 1 more destination)"
		} else if key != (pair{}) && more > 1 {
			where += fmt.Sprintf(" (and %d more destinations)", more)
		}
		t.Want = b.want(images, where)
		if key != (pair{}) {
			shared[key] = t.Want
		}
	}
	slices.SortStableFunc(b.wanted.Faults, func(a, b manifest.Fault) int {
		return strings.Compare(a.Pos.File, b.Pos.File)
	})
}

// want merges the edges of images into one Want. It drops repeated edges and refuses
// overlaps. where names, in messages, the repositories that share the Want.
func (b *builder) want(images []*wantedImage, where string) *Want {
	want := &Want{}
	var edges []wantedEdge
	for _, img := range images {
		edges = append(edges, img.edges...)
		want.Refused = append(want.Refused, img.refused...)
	}
	clash := b.overlaps(edges, where)
	slices.SortStableFunc(edges, func(a, b wantedEdge) int { return compareEdges(a.Edge, b.Edge) })
	for i := 0; i < len(edges); {
		n := i
		for n < len(edges) && edges[n].Digest == edges[i].Digest {
			n++
		}
		b.entry(want, edges[i:n], clash)
		i = n
	}
	return want
}

// entry adds the edges of one digest, sorted by tag, to a Want.
func (b *builder) entry(want *Want, edges []wantedEdge, clash map[string]string) {
	digest := edges[0].Digest
	if digest == (v1.Hash{}) {
		b.unresolved(want, edges, clash)
		return
	}
	e := Entry{Digest: digest}
	var refused []string
	for i := range edges {
		edge := &edges[i]
		if !slices.Contains(e.Sources, edge.source) {
			e.Sources = append(e.Sources, edge.source)
		}
		if edge.pinned {
			if want.pins == nil {
				want.pins = map[Edge]SourceTag{}
			}
			want.pins[edge.Edge] = edge.from
		}
		if edge.Tag == "" || i > 0 && edges[i-1].Tag == edge.Tag {
			continue // tagless, or repeated
		}
		if reason, ok := clash[edge.Tag]; ok {
			refused = append(refused, edge.Tag)
			want.Refused = append(want.Refused, Refusal{
				Action: Invalid, Edge: edge.Edge, Source: edge.source.Repository.Digest(digest.String()).String(), Reason: reason,
			})
			continue
		}
		e.Tags = append(e.Tags, edge.Tag)
	}
	// A digest that is wanted with and without tags is the edges of its tags. If all of
	// these are refused, it is not promoted without a tag.
	if len(e.Tags) > 0 || len(refused) == 0 {
		want.Entries = append(want.Entries, e)
	}
}

// unresolved refuses retag entries whose source tag is absent or unreadable.
func (b *builder) unresolved(want *Want, edges []wantedEdge, clash map[string]string) {
	for i, e := range edges {
		reason, overlap := clash[e.Tag]
		if i > 0 && edges[i-1].Tag == e.Tag && (overlap || edges[i-1].from == e.from) {
			continue
		}
		source := e.from.Repository.Tag(e.from.Tag).String()
		if overlap {
			want.Refused = append(want.Refused, Refusal{Action: Invalid, Edge: e.Edge, Source: source, Reason: reason})
			continue
		}
		if b.resolved == nil {
			continue // offline: its digest is unknown
		}
		r := b.resolved[e.from]
		refusal := Refusal{Action: Missing, Edge: e.Edge, Source: source, Reason: "source tag " + source + " does not exist"}
		if r.State == inventory.Unknown {
			refusal.Action = Unreadable
			refusal.Reason, refusal.retryable = fmt.Sprintf("reading source tag %s: %v", source, r.Err), errors.Is(r.Err, inventory.ErrRetryable)
		}
		want.Refused = append(want.Refused, refusal)
	}
}

// sourceNamed returns the source repository of an image name, which may be invalid.
func sourceNamed(m *manifest.Manifest, of string) name.Repository {
	if !m.Native {
		if repo, err := m.Source.Name.Repository(of); err == nil {
			return repo
		}
		return m.Source.Name.Repo(m.Source.Name.Prefix, of)
	}
	if repo, err := image.ParseRepository(of); err == nil {
		return repo
	}
	host, path, _ := strings.Cut(of, "/")
	return image.NewRepository(host, path)
}

func sourceOf(m *manifest.Manifest, img *manifest.Image) (*Source, error) {
	repo, err := m.SourceRepository(img)
	if err != nil {
		return nil, err
	}
	src := &Source{Repository: repo, image: img.Name}
	if m.Native {
		return src, nil
	}
	src.account = m.Source.ServiceAccount
	for _, mirror := range m.Source.Mirrors {
		r, err := mirror.Repository(img.Name)
		if err != nil {
			return nil, err
		}
		src.Mirrors = append(src.Mirrors, r)
	}
	return src, nil
}

// refusals returns a faulty entry's edges as refused.
func refusals(m *manifest.Manifest, r *manifest.Refusal) []Refusal {
	one := Refusal{
		Action: Invalid, Edge: Edge{Digest: image.Hash(r.Digest)}, Source: refusedSource(m, r), Reason: r.Fault.String(),
		entry: strings.Join(append([]string{r.Digest, r.SourceTag}, r.Tags...), "\n"), pos: &r.Fault.Pos,
	}
	if len(r.Tags) == 0 {
		return []Refusal{one}
	}
	all := make([]Refusal, len(r.Tags))
	for i, tag := range r.Tags {
		all[i] = one
		all[i].Tag = tag
	}
	return all
}

func refusedSource(m *manifest.Manifest, r *manifest.Refusal) string {
	name := r.Name
	if !m.Native {
		name = m.Source.Name.String() + "/" + r.Name
	}
	switch {
	case r.SourceTag != "":
		return name + ":" + r.SourceTag
	case r.Digest != "":
		return name + "@" + r.Digest
	}
	return name
}

// refuseName refuses the edges of an image whose name is invalid below a destination.
func (b *builder) refuseName(dst image.Registry, name string, img *wantedImage, err error) {
	repo := dst.Repo(dst.Prefix, name)
	for i := range img.refused {
		b.wanted.Invalid = append(b.wanted.Invalid, img.refused[i].item(repo))
	}
	for i := range img.edges {
		e := &img.edges[i]
		b.fault(e.pos, fmt.Sprintf("%s: %v", dst, err), "")
		r := Refusal{Action: Invalid, Edge: e.Edge, Reason: e.pos.String() + ": " + err.Error(), pos: &e.pos}
		b.wanted.Invalid = append(b.wanted.Invalid, r.item(repo))
	}
}

// fault reports the fault of a refused entry, once. id identifies it, if the message has positions.
func (b *builder) fault(pos manifest.Pos, message, id string) {
	f := manifest.Fault{Pos: pos, Severity: manifest.Refused, Message: message, ID: id}
	if _, reported := b.seen[f.String()]; reported {
		return
	}
	b.seen[f.String()] = struct{}{}
	b.wanted.Faults = append(b.wanted.Faults, f)
}
