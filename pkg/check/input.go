package check

import (
	"errors"
	"iter"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Input is the input of all rules.
type Input struct {
	Set    *manifest.Set
	Faults []manifest.Fault // in files, and between them
	Plan   *plan.Plan       // nil: the registries are not read
	Images []Image          // about to be promoted; without a plan, all wanted images
	Base   *plan.Wanted     // what was wanted at the base; nil: no base is known

	wanted *plan.Wanted
}

// had reports whether the base wanted exactly what a finding is about. It is checked
// again if the access to its registries has changed, for example.
func (in *Input) had(f *Finding) bool {
	im := &f.Image
	return in.Base != nil && im.Digest != (v1.Hash{}) && !slices.ContainsFunc(im.Destinations, func(dst name.Repository) bool {
		return !in.wanted.Same(in.Base, dst, im.Digest, im.Tags)
	})
}

// Image is a digest that is about to be promoted.
type Image struct {
	Digest       v1.Hash
	From         name.Repository   // has the image; without a plan, may have it
	Also         []name.Repository // other repositories that may have it or its signatures
	Source       name.Repository   // that it is promoted from, even if a destination has it
	Destinations []name.Repository // sorted
	Tags         []string          // sorted
	Pos          manifest.Pos
}

// Ref returns the reference of the image, by digest.
func (im *Image) Ref() string { return im.From.Digest(im.Digest.String()).String() }

// finding returns a finding about the image, at its position.
func (im Image) finding(level Level, message string) Finding {
	return Finding{Level: level, Pos: im.Pos, Message: message, Image: im}
}

// unread returns the finding that a rule could not read what it needs.
func (im Image) unread(message string, causes ...error) Finding {
	f := im.finding(Failed, message)
	f.Retryable = errors.Is(errors.Join(causes...), inventory.ErrRetryable)
	return f
}

// NewInput returns the input of rules. Its images are those that the plan would copy or
// tag or, without a plan, all wanted images.
func NewInput(set *manifest.Set, faults []manifest.Fault, wanted *plan.Wanted, p *plan.Plan) *Input {
	in := &Input{Set: set, Faults: faults, Plan: p, wanted: wanted}
	g := gathering{in: in, at: map[v1.Hash]int{}, entries: map[*plan.Entry]int{}}
	if p == nil {
		for _, t := range wanted.Targets {
			for i := range t.Want.Entries {
				e := &t.Want.Entries[i]
				g.entry(t.Repository, e)
			}
		}
		return g.done()
	}
	for it := range in.writes() {
		from := []name.Repository{it.From}
		if it.Present {
			from = []name.Repository{it.Destination, it.From}
		}
		g.add(it.Destination, it.Digest, it.Tags, append(from, it.sources...), it.sources[0])
	}
	return g.done()
}

// write is a group of items that the plan would write, with the repositories that the
// manifests promote it from, one or more.
type write struct {
	*plan.Group
	sources []name.Repository
}

// writes returns the wanted edges that the plan would write.
func (in *Input) writes() iter.Seq[write] {
	return func(yield func(write) bool) {
		for it := range plan.Groups(in.Plan.Items) {
			if !it.Writes() || it.Kind != 0 {
				continue
			}
			sources := []name.Repository{it.From}
			if e := in.wanted.Entry(it.Destination, it.Digest); e != nil {
				sources = sourcesOf(e)
			}
			if !yield(write{it, sources}) {
				return
			}
		}
	}
}

func sourcesOf(e *plan.Entry) []name.Repository {
	all := make([]name.Repository, len(e.Sources))
	for i, s := range e.Sources {
		all[i] = s.Repository
	}
	return all
}

// about returns the image of a group of items of the plan.
func (in *Input) about(it *plan.Group) Image {
	return Image{
		Digest: it.Digest, From: it.From, Destinations: []name.Repository{it.Destination}, Tags: it.Tags,
		Pos: in.position(it.Destination, it.Digest, it.Tags),
	}
}

// unread returns findings about the parts of the plan that could not be read. Images
// with the same error share one finding.
func (in *Input) unread() []Finding {
	if in.Plan == nil {
		return nil
	}
	var found []Finding
	at := map[string]int{}
	for it := range plan.Groups(in.Plan.Items) {
		if it.Action != plan.Unreadable {
			continue
		}
		n, ok := at[it.Error]
		if !ok {
			n = len(found)
			at[it.Error] = n
			found = append(found, in.about(it).finding(Failed, it.Error))
		}
		im := &found[n].Image
		if im.Digest != it.Digest {
			im.Digest, im.Tags = v1.Hash{}, nil // the error is about several images
		}
		im.add(it.Destination)
	}
	return found
}

// gathering collects an input's images, one for each digest.
type gathering struct {
	in      *Input
	at      map[v1.Hash]int     // index in in.Images
	entries map[*plan.Entry]int // index in in.Images of entries that were added completely
}

// entry adds a wanted digest of one destination. Several destinations can share an entry.
func (g *gathering) entry(dst name.Repository, e *plan.Entry) {
	if i, ok := g.entries[e]; ok {
		g.in.Images[i].Destinations = append(g.in.Images[i].Destinations, dst)
		return
	}
	from := sourcesOf(e)
	g.add(dst, e.Digest, e.Tags, from, from[0])
	g.entries[e] = g.at[e.Digest]
}

func (g *gathering) add(dst name.Repository, d v1.Hash, tags []string, from []name.Repository, source name.Repository) {
	i, ok := g.at[d]
	if !ok {
		i = len(g.in.Images)
		g.at[d] = i
		g.in.Images = append(g.in.Images, Image{Digest: d, From: from[0], Source: source, Pos: g.in.position(dst, d, tags)})
	}
	im := &g.in.Images[i]
	for _, r := range from {
		if r != im.From && !slices.Contains(im.Also, r) {
			im.Also = append(im.Also, r)
		}
	}
	im.Destinations = append(im.Destinations, dst)
	im.Tags = append(im.Tags, tags...)
}

func (g *gathering) done() *Input {
	for i := range g.in.Images {
		g.in.Images[i].sort()
	}
	return g.in
}

// add adds a destination, once.
func (im *Image) add(dst name.Repository) {
	if !slices.Contains(im.Destinations, dst) {
		im.Destinations = append(im.Destinations, dst)
	}
}

// sort sorts the destinations and tags of the image, and leaves each in once.
func (im *Image) sort() {
	slices.Sort(im.Tags)
	slices.SortFunc(im.Destinations, image.CompareRepositories)
	im.Tags, im.Destinations = slices.Compact(im.Tags), slices.Compact(im.Destinations)
}

// some is the number of names that a message lists.
const some = 5

// list returns the names of repositories for a message, the first ones if there are many.
func list(repos []name.Repository) string {
	names := make([]string, len(repos))
	for i, r := range repos {
		names[i] = r.String()
	}
	if len(names) > 1 && len(names) <= some {
		return image.JoinNames(names, "and")
	}
	return firsts(names)
}
