package plan

import (
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

// wish is what one manifest wants of one image name, whatever the destination.
type wish struct {
	edges   []wishEdge
	refused []Refusal
	entries func() map[v1.Hash]manifest.Pos // the first place of each digest, worked out when it is asked for
}

func newWish() *wish {
	w := &wish{}
	w.entries = sync.OnceValue(func() map[v1.Hash]manifest.Pos {
		at := make(map[v1.Hash]manifest.Pos, len(w.edges))
		for i := range w.edges {
			e := &w.edges[i]
			if _, ok := at[e.Digest]; !ok {
				at[e.Digest] = e.entry
			}
		}
		return at
	})
	return w
}

// wishEdge is one edge with its place and origin.
type wishEdge struct {
	Edge   // Digest is empty while a retag entry is unresolved
	pos    manifest.Pos
	entry  manifest.Pos // of the dmap key
	source *Source
	from   SourceTag // of a retag entry
	pinned bool
}

// wisher turns manifests into wishes.
type wisher struct {
	resolved map[SourceTag]Resolution // nil: offline
	wanted   *Wanted
	targets  map[name.Repository]*Target
	seen     map[string]struct{} // warnings given
}

// Desired returns what the manifests want of every destination repository.
// resolved holds what Unpinned's tags were found to be; nil means offline, where
// unpinned retag entries are compared with each other but not granted.
func Desired(set *manifest.Set, resolved map[SourceTag]Resolution) *Wanted {
	w := &wisher{
		resolved: resolved,
		wanted:   &Wanted{},
		targets:  map[name.Repository]*Target{},
		seen:     map[string]struct{}{},
	}
	for _, m := range set.Manifests {
		w.add(m)
	}
	w.merge()
	return w.wanted
}

// add collects the wishes of one manifest.
func (w *wisher) add(m *manifest.Manifest) {
	wishes := map[string]*wish{}
	var names []string
	of := func(name string) *wish {
		if wishes[name] == nil {
			wishes[name] = newWish()
			names = append(names, name)
		}
		return wishes[name]
	}
	sources := map[string]*Source{}
	for i := range m.Images {
		img := &m.Images[i]
		src := sources[img.Name]
		if src == nil {
			var err error
			if src, err = sourceOf(m, img); err != nil {
				w.fault(img.Pos, err.Error())
				continue
			}
			sources[img.Name] = src
		}
		w.wish(of(img.Name), img, src)
	}
	for _, r := range m.Refused {
		of(r.Name).refused = append(of(r.Name).refused, Refusal{
			Action: Invalid, Digest: image.Hash(r.Digest), Tags: r.Tags, Source: refusedSource(m, r), Reason: r.Fault.String(),
			entry: strings.Join(append([]string{r.Digest, r.SourceTag}, r.Tags...), "\n"),
		})
	}
	for _, name := range names {
		if m.Native {
			w.claimNative(m, name, wishes[name])
			continue
		}
		for _, dst := range m.Destinations {
			repo, err := dst.Name.Repository(name)
			if err != nil {
				w.refuseName(dst.Name, name, wishes[name], err)
				continue
			}
			w.claim(repo, claim{wishes[name], dst})
		}
	}
}

// claimNative claims the repository of a native entry, which is source and destination at once.
func (w *wisher) claimNative(m *manifest.Manifest, name string, wi *wish) {
	for i := range m.Images {
		if m.Images[i].Name == name {
			w.claim(m.Images[i].Repository, claim{wish: wi})
			return
		}
	}
	if repo, err := image.ParseRepository(name); err == nil {
		w.claim(repo, claim{wish: wi})
		return
	}
	host, path, _ := strings.Cut(name, "/")
	for _, r := range wi.refused {
		w.wanted.Invalid = append(w.wanted.Invalid, r.item(image.NewRepository(host, path)))
	}
}

func (w *wisher) claim(repo name.Repository, c claim) {
	t := w.targets[repo]
	if t == nil {
		t = &Target{Repository: repo}
		w.targets[repo] = t
	}
	t.claims = append(t.claims, c)
}

// wish adds what one images entry wants.
func (w *wisher) wish(to *wish, img *manifest.Image, src *Source) {
	for i := range img.Digests {
		d := &img.Digests[i]
		if len(d.Tags) == 0 {
			to.edges = append(to.edges, wishEdge{Edge: Edge{Digest: d.Digest}, pos: d.Pos, entry: d.Pos, source: src})
		}
		for _, t := range d.Tags {
			to.edges = append(to.edges, wishEdge{Edge: Edge{d.Digest, t.Name}, pos: t.Pos, entry: d.Pos, source: src})
		}
	}
	for _, r := range img.Retags {
		e := wishEdge{Edge: Edge{r.Digest, r.Tag}, pos: r.Pos, entry: r.Pos, source: src, from: SourceTag{src.Repository, r.SourceTag}, pinned: r.Digest != (v1.Hash{})}
		if !e.pinned {
			e.Digest = w.resolved[e.from].Digest
		}
		to.edges = append(to.edges, e)
	}
}

// merge gives every target its Want. Targets with the same one or two wishes share one.
func (w *wisher) merge() {
	type pair struct{ first, second *wish }
	w.wanted.Targets = make([]*Target, 0, len(w.targets))
	sharing := map[pair]int{}
	of := func(t *Target) (wishes []*wish, key pair) {
		wishes = t.wishes()
		switch len(wishes) {
		case 1:
			key.first = wishes[0]
		case 2:
			key = pair{wishes[0], wishes[1]}
		}
		return wishes, key
	}
	for _, t := range w.targets {
		w.wanted.Targets = append(w.wanted.Targets, t)
		_, key := of(t)
		sharing[key]++
	}
	slices.SortFunc(w.wanted.Targets, func(a, b *Target) int { return image.CompareRepositories(a.Repository, b.Repository) })
	shared := map[pair]*Want{}
	for _, t := range w.wanted.Targets {
		wishes, key := of(t)
		t.Want = shared[key]
		if t.Want != nil {
			continue
		}
		place := t.Repository.String()
		if key != (pair{}) && sharing[key] > 1 {
			place += fmt.Sprintf(" and %d more", sharing[key]-1)
		}
		t.Want = w.want(wishes, place)
		if key != (pair{}) {
			shared[key] = t.Want
		}
	}
	slices.SortStableFunc(w.wanted.Faults, func(a, b manifest.Fault) int {
		return strings.Compare(a.Pos.File, b.Pos.File)
	})
}

// want unites wishes into one Want: redundant edges once, overlaps refused.
// place is what messages call the repositories that share it.
func (w *wisher) want(wishes []*wish, place string) *Want {
	want := &Want{}
	var edges []wishEdge
	for _, wi := range wishes {
		edges = append(edges, wi.edges...)
		want.Refused = append(want.Refused, wi.refused...)
	}
	clash := w.overlaps(edges, place)
	slices.SortStableFunc(edges, func(a, b wishEdge) int {
		if c := image.CompareDigests(a.Digest, b.Digest); c != 0 {
			return c
		}
		return strings.Compare(a.Tag, b.Tag)
	})
	for i := 0; i < len(edges); {
		n := i
		for n < len(edges) && edges[n].Digest == edges[i].Digest {
			n++
		}
		w.entry(want, edges[i:n], clash)
		i = n
	}
	return want
}

// entry adds the edges of one digest, sorted by tag, to a Want.
func (w *wisher) entry(want *Want, edges []wishEdge, clash map[string]string) {
	digest := edges[0].Digest
	if digest == (v1.Hash{}) {
		w.unresolved(want, edges, clash)
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
			if want.Pins == nil {
				want.Pins = map[Edge]SourceTag{}
			}
			want.Pins[edge.Edge] = edge.from
		}
		if edge.Tag == "" || i > 0 && edges[i-1].Tag == edge.Tag {
			continue // by digest alone, or redundant
		}
		if reason, ok := clash[edge.Tag]; ok {
			refused = append(refused, edge.Tag)
			want.Refused = append(want.Refused, Refusal{
				Action: Invalid, Digest: digest, Tags: []string{edge.Tag}, Source: edge.source.Repository.Digest(digest.String()).String(), Reason: reason,
			})
			continue
		}
		e.Tags = append(e.Tags, edge.Tag)
	}
	// A digest wanted both tagless and tagged counts by its tags; refused tags take it with them.
	if len(e.Tags) > 0 || len(refused) == 0 {
		want.Entries = append(want.Entries, e)
	}
}

// unresolved refuses retag entries whose source tag is absent or could not be read.
func (w *wisher) unresolved(want *Want, edges []wishEdge, clash map[string]string) {
	for i, e := range edges {
		reason, overlap := clash[e.Tag]
		if i > 0 && edges[i-1].Tag == e.Tag && (overlap || edges[i-1].from == e.from) {
			continue
		}
		source := e.from.Repository.Tag(e.from.Tag).String()
		if overlap {
			want.Refused = append(want.Refused, Refusal{Action: Invalid, Tags: []string{e.Tag}, Source: source, Reason: reason})
			continue
		}
		if w.resolved == nil {
			continue // offline: what it wants is not known
		}
		r := w.resolved[e.from]
		refusal := Refusal{Action: Missing, Tags: []string{e.Tag}, Source: source, Reason: "source tag " + source + " does not exist"}
		if r.State == inventory.Unknown {
			refusal.Action = Unreadable
			refusal.Reason = fmt.Sprintf("reading source tag %s: %v", source, r.Err)
		}
		want.Refused = append(want.Refused, refusal)
	}
}

func sourceOf(m *manifest.Manifest, img *manifest.Image) (*Source, error) {
	repo, err := sourceRepository(m, img)
	if err != nil {
		return nil, err
	}
	src := &Source{Repository: repo}
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

func refusedSource(m *manifest.Manifest, r manifest.Refusal) string {
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

// refuseName refuses every wish for a name that is impossible below a destination.
func (w *wisher) refuseName(dst image.Registry, name string, wi *wish, err error) {
	repo := dst.Repo(dst.Prefix, name)
	for _, r := range wi.refused {
		w.wanted.Invalid = append(w.wanted.Invalid, r.item(repo))
	}
	for _, e := range wi.edges {
		w.fault(e.pos, fmt.Sprintf("%s: %v", dst, err))
		r := Refusal{Action: Invalid, Digest: e.Digest, Reason: e.pos.String() + ": " + err.Error()}
		if e.Tag != "" {
			r.Tags = []string{e.Tag}
		}
		w.wanted.Invalid = append(w.wanted.Invalid, r.item(repo))
	}
}

// fault reports a refused entry once.
func (w *wisher) fault(pos manifest.Pos, message string) {
	f := manifest.Fault{Pos: pos, Severity: manifest.Refused, Message: message}
	if _, told := w.seen[f.String()]; told {
		return
	}
	w.seen[f.String()] = struct{}{}
	w.wanted.Faults = append(w.wanted.Faults, f)
}
