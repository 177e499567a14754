package verify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// Scope is what the current manifests say. The zero value means that there are none.
type Scope struct {
	set      *manifest.Set
	wanted   *plan.Wanted
	policies *provenance.Policies
}

// NewScope returns the scope of manifests. wanted is all that they want.
func NewScope(set *manifest.Set, wanted *plan.Wanted) *Scope {
	return &Scope{set, wanted, set.Policies()}
}

// All returns the images that a selection of the manifests wants, once for each
// destination that gets evidence, sorted by reference.
func (s *Scope) All(selected *plan.Wanted) []Subject {
	homes := s.homes()
	var all []Subject
	for _, t := range selected.Targets {
		if homes[t.Repository] == nil {
			continue
		}
		for i := range t.Want.Entries {
			d := t.Want.Entries[i].Digest
			all = append(all, Subject{
				Reference: t.Repository.Digest(d.String()).String(), Repository: t.Repository, Digest: d, Homes: homes[t.Repository],
			})
		}
	}
	return all
}

// Refused returns a broken chain for each entry of a selection of the manifests that names
// no digest to verify: it is bad, or its source tag does not exist or cannot be read.
func (s *Scope) Refused(selected *plan.Wanted) []Chain {
	homes := s.homes()
	var all []Chain
	refuse := func(reference string, action plan.Action, reason string) {
		c := Chain{Reference: reference}
		if action == plan.Invalid {
			c.add(invalid(KindManifest, "%s", reason))
		} else {
			c.add(missing(KindManifest, "%s", reason))
		}
		all = append(all, c)
	}
	for i := range selected.Invalid {
		refuse(selected.Invalid[i].Destination.String(), plan.Invalid, selected.Invalid[i].Error)
	}
	for _, t := range selected.Targets {
		if homes[t.Repository] == nil {
			continue
		}
		for i := range t.Want.Refused {
			r := &t.Want.Refused[i]
			refuse(image.JoinReference(t.Repository.String(), r.Tag, v1.Hash{}), r.Action, r.Reason)
		}
	}
	return all
}

// homes returns the homes of records of all images, by repository.
func (s *Scope) homes() map[name.Repository][]Home {
	homes := map[name.Repository][]Home{}
	add := func(r *manifest.Registry, image string) {
		home, err := homeOf(r, image)
		if err == nil && !slices.Contains(homes[home.Repository], home) {
			homes[home.Repository] = append(homes[home.Repository], home)
		}
	}
	for _, m := range s.set.Manifests {
		for _, r := range m.Attested() {
			for i := range m.Images {
				add(r, m.Images[i].Name)
			}
			for i := range m.Refused {
				add(r, m.Refused[i].Name)
			}
		}
	}
	return homes
}

// homeOf returns the home of an image in a destination.
func homeOf(r *manifest.Registry, image string) (Home, error) {
	repo, production, err := r.Production(image)
	return Home{repo, production}, err
}

// candidate is an image of a manifest that a reference may mean.
type candidate struct {
	repo     name.Repository // the destination
	homes    []Home
	attested bool // the destination gets evidence
	listed   bool // the manifest has an image of that name
	wanted   bool // the manifest wants the digest
}

// Find parses a reference: a repository with a tag or a digest. The repository is a
// destination of the manifests, or a public name of one.
//
// The subject has no digest if the reference has none: Settle sets it.
func (s *Scope) Find(text string) (Subject, error) {
	rest, tag, digest, err := image.SplitReference(text)
	sub := Subject{Reference: text, Tag: tag, Digest: digest}
	if err == nil && tag == "" && digest == (v1.Hash{}) {
		err = errors.New("want a tag or a digest")
	}
	if err != nil {
		return sub, fmt.Errorf("parsing reference %q: %w", text, err)
	}
	repo, err := image.ParseRepository(rest)
	if err != nil {
		return sub, fmt.Errorf("parsing reference %q: %w", text, err)
	}
	sub.Repository = repo
	if all := s.candidates(repo, v1.Hash{}); len(all) > 0 {
		sub.Repository = all[0].repo
	}
	return sub, nil
}

// Settle sets the digest of a subject, and the homes of its records: those of the
// manifests that want the digest there, or else of all that have the destination.
func (s *Scope) Settle(sub *Subject, digest v1.Hash) {
	sub.Digest, sub.Homes = digest, nil
	all := s.candidates(sub.Repository, digest)
	for _, c := range all {
		for _, home := range c.homes {
			if !slices.Contains(sub.Homes, home) {
				sub.Homes = append(sub.Homes, home)
			}
		}
	}
	if len(all) == 0 { // of no manifest
		sub.Homes = []Home{{sub.Repository, sub.Repository.String()}}
	}
}

// candidates returns the destinations that a repository is, or else those that it is a
// public name of. If manifests want the digest there, it returns only theirs.
func (s *Scope) candidates(repo name.Repository, digest v1.Hash) []candidate {
	if s.set == nil {
		return nil
	}
	var same, public []candidate
	for _, m := range s.set.Manifests {
		attested := m.Attested()
		for _, r := range m.Destinations {
			if below, ok := r.Name.Relative(repo); ok {
				if c, ok := newCandidate(m, r, attested, below, digest); ok && c.repo == repo {
					same = append(same, c)
				}
			}
			if below, ok := r.BelowPublicName(repo); ok {
				if c, ok := newCandidate(m, r, attested, below, digest); ok {
					public = append(public, c)
				}
			}
		}
	}
	all := same
	if len(same) == 0 {
		all = public
	}
	for _, best := range []func(candidate) bool{
		func(c candidate) bool { return c.wanted }, func(c candidate) bool { return c.listed }, func(c candidate) bool { return c.attested },
	} {
		if slices.ContainsFunc(all, best) {
			all = slices.DeleteFunc(all, func(c candidate) bool { return !best(c) })
		}
	}
	return all
}

// newCandidate returns the candidate for an image at a destination of a manifest.
func newCandidate(m *manifest.Manifest, r *manifest.Registry, attested []*manifest.Registry, below string, digest v1.Hash) (candidate, bool) {
	repo, err := r.Name.Repository(below)
	if err != nil {
		return candidate{}, false
	}
	c := candidate{repo: repo, attested: slices.Contains(attested, r)}
	for i := range m.Images {
		if m.Images[i].Name == below {
			c.listed = true
			c.wanted = c.wanted || m.Images[i].Wants(digest)
		}
	}
	for _, a := range attested {
		if home, err := homeOf(a, below); err == nil {
			c.homes = append(c.homes, home)
		}
	}
	return c, true
}

// Promoted returns the subjects for which evidence is written that an earlier run should
// have written. referrers is what destinations get of the source's referrers if their
// entry does not say it.
func (s *Scope) Promoted(subjects []Subject, referrers manifest.ReferrersMode) []attest.Subject {
	var items []plan.Item
	for _, sub := range subjects {
		for _, h := range sub.Homes {
			e := s.wanted.Entry(h.Repository, sub.Digest)
			if e == nil {
				continue
			}
			for edge := range e.Edges() {
				items = append(items, plan.Item{
					Action: plan.TagOnly, Status: plan.Done, Destination: h.Repository, Digest: edge.Digest, Tag: edge.Tag, Present: true,
				})
			}
		}
	}
	all := attest.Promoted(s.set, items, referrers)
	for i := range all {
		all[i].Known = true
	}
	return all
}
