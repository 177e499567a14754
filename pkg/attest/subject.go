package attest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Subject is an image in a destination that gets evidence.
type Subject struct {
	Repository name.Repository
	Name       string // production name
	Digest     v1.Hash
	Tags       []string        // that are, or will be, promoted to the production name; sorted
	Wants      []Want          // in the order of the manifests; none: no manifest wants it any more
	Attested   bool            // gets records, summaries and signatures
	Carries    bool            // gets the attestations that its policies accept
	Absent     bool            // the repository does not hold the digest yet, and so has no evidence of it
	From       name.Repository // that holds it then
	Known      bool            // it was promoted by an earlier run: its source, manifest and job are not those of this one
}

func (s *Subject) place() place { return place{s.Repository, s.Name, s.Digest} }

// Want is an entry of a manifest that wants a subject.
type Want struct {
	Source   name.Repository
	Images   string // file with the entry
	Policies string // file with the registries and the policy
}

// place is a digest in a repository, under a production name.
type place struct {
	repo   name.Repository
	name   string
	digest v1.Hash
}

// Promoted returns the subjects of a plan: the digests that it writes to destinations
// which get evidence, sorted. The items may be planned or done. referrers is what
// destinations get of the source's referrers if their entry does not say it.
func Promoted(set *manifest.Set, items []plan.Item, referrers manifest.ReferrersMode) []Subject {
	p := promoted{at: map[place]*Subject{}, tags: map[place]map[string]struct{}{}, written: map[place]*written{}, tagged: map[tagOf]v1.Hash{}}
	for i := range items {
		p.item(&items[i])
	}
	for _, m := range set.Manifests {
		for i := range m.Images {
			p.image(m, &m.Images[i], referrers)
		}
	}
	return p.subjects()
}

// promoted finds the subjects of a plan.
type promoted struct {
	written map[place]*written // without names
	tagged  map[tagOf]v1.Hash
	at      map[place]*Subject
	tags    map[place]map[string]struct{} // by production name, without repositories
}

// tagOf is a tag in a repository.
type tagOf struct {
	repo name.Repository
	tag  string
}

// written is what a plan writes of a digest in a repository.
type written struct {
	tags   []string
	absent bool
	from   name.Repository
}

func (p *promoted) item(it *plan.Item) {
	if it.Kind != 0 || !it.Action.Writes() || it.Status != plan.Planned && it.Status != plan.Done || image.IsAttached(it.Tag) {
		return // cosign's tags are no names of images
	}
	at := place{repo: it.Destination, digest: it.Digest}
	w := p.written[at]
	if w == nil {
		w = &written{}
		p.written[at] = w
	}
	if !it.Present {
		w.absent, w.from = true, it.From
	}
	if it.Tag != "" {
		p.tagged[tagOf{it.Destination, it.Tag}] = it.Digest
		w.tags = append(w.tags, it.Tag)
	}
}

// image adds the subjects of one entry of a manifest.
func (p *promoted) image(m *manifest.Manifest, img *manifest.Image, referrers manifest.ReferrersMode) {
	attested := m.Attested()
	for _, d := range m.Destinations {
		repo, production, err := d.Production(img.Name)
		if err != nil {
			continue // a fault of the manifest
		}
		for digest, file := range p.listed(img, repo) {
			w := p.written[place{repo: repo, digest: digest}]
			p.tag(place{name: production, digest: digest}, w.tags)
			isAttested := slices.Contains(attested, d)
			carries := cmp.Or(d.Referrers, referrers) == manifest.ReferrersAccepted && (isAttested || d.Referrers != 0)
			if !isAttested && !carries {
				continue
			}
			s := p.subject(place{repo, production, digest})
			s.Attested, s.Carries, s.Absent, s.From = s.Attested || isAttested, s.Carries || carries, w.absent, w.from
			if source, err := m.Source.Name.Repository(img.Name); err == nil {
				s.want(Want{source, file, m.File})
			}
		}
	}
}

// listed returns the digests of an entry that are written to a repository, with the file
// of the entry. The digest of a retag entry is that which is written under its tag.
func (p *promoted) listed(img *manifest.Image, repo name.Repository) map[v1.Hash]string {
	all := map[v1.Hash]string{}
	for i := range img.Digests {
		if d := &img.Digests[i]; p.written[place{repo: repo, digest: d.Digest}] != nil {
			all[d.Digest] = d.Pos.File
		}
	}
	for _, r := range img.Retags {
		if d, ok := p.tagged[tagOf{repo, r.Tag}]; ok {
			all[d] = r.Pos.File
		}
	}
	return all
}

func (p *promoted) tag(at place, tags []string) {
	if p.tags[at] == nil {
		p.tags[at] = map[string]struct{}{}
	}
	for _, tag := range tags {
		p.tags[at][tag] = struct{}{}
	}
}

func (p *promoted) subject(at place) *Subject {
	s := p.at[at]
	if s == nil {
		s = &Subject{Repository: at.repo, Name: at.name, Digest: at.digest}
		p.at[at] = s
	}
	return s
}

// want adds an entry of a manifest, once.
func (s *Subject) want(w Want) {
	if !slices.Contains(s.Wants, w) {
		s.Wants = append(s.Wants, w)
	}
}

// sources returns the repositories that the subject is promoted from, each once.
func (s *Subject) sources() []name.Repository {
	var all []name.Repository
	for _, w := range s.Wants {
		if !slices.Contains(all, w.Source) {
			all = append(all, w.Source)
		}
	}
	return all
}

func (p *promoted) subjects() []Subject {
	var all []Subject
	for at, s := range p.at {
		s.Tags = slices.Sorted(maps.Keys(p.tags[place{name: at.name, digest: at.digest}]))
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Subject) int { return compareSubjects(&a, &b) })
	return all
}

func compareSubjects(a, b *Subject) int {
	return cmp.Or(image.CompareRepositories(a.Repository, b.Repository), image.CompareDigests(a.Digest, b.Digest), strings.Compare(a.Name, b.Name))
}
