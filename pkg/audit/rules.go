package audit

import (
	"slices"
	"strings"
	"time"

	"cip/pkg/image"
	"cip/pkg/manifest"
	"cip/pkg/plan"
)

// Rules are manifests in the form that events are held against. They do not change.
type Rules struct {
	Read   time.Time // when reading them began
	Commit string    // they are from; empty: of a directory
	Set    *manifest.Set
	Sites  *plan.Sites
	Faults []manifest.Fault // overlaps

	targets map[image.Repository]*plan.Target
	places  map[image.Registry]*place
	native  map[image.Repository][]claim
	images  map[named][]*manifest.Image
}

// place is a registry that manifests name.
type place struct {
	destination bool
	manifests   []*manifest.Manifest // that promote to it
}

// named is an image name in a manifest.
type named struct {
	manifest *manifest.Manifest
	name     string
}

// claim is an images entry that wants something of a repository.
type claim struct {
	image  *manifest.Image
	source image.Repository
}

// retagged is a wish whose digest only the source knows.
type retagged struct {
	from plan.SourceTag
	tag  string
	pos  manifest.Pos
}

// newRules indexes a set that is not broken. Retag entries without a pin stay
// open: what they want is read when an event asks for it.
func newRules(set *manifest.Set, commit string, read time.Time) *Rules {
	wanted := plan.Desired(set, nil)
	r := &Rules{
		Read: read, Commit: commit, Set: set, Sites: plan.SitesOf(set), Faults: wanted.Faults,
		targets: make(map[image.Repository]*plan.Target, len(wanted.Targets)),
		places:  map[image.Registry]*place{}, native: map[image.Repository][]claim{}, images: map[named][]*manifest.Image{},
	}
	for _, t := range wanted.Targets {
		r.targets[t.Repository] = t
	}
	at := func(name image.Registry) *place {
		if r.places[name] == nil {
			r.places[name] = &place{}
		}
		return r.places[name]
	}
	for _, m := range set.Manifests {
		for i := range m.Images {
			img := &m.Images[i]
			if m.Native {
				r.native[img.Repository] = append(r.native[img.Repository], claim{img, img.Repository})
				continue
			}
			key := named{m, img.Name}
			r.images[key] = append(r.images[key], img)
		}
		if m.Native {
			continue
		}
		at(m.Source.Name)
		for _, mirror := range m.Source.Mirrors {
			at(mirror)
		}
		for _, d := range m.Destinations {
			p := at(d.Name)
			p.destination = true
			p.manifests = append(p.manifests, m)
		}
	}
	return r
}

// destinations returns the registries that are promoted to, those below another left out, sorted.
func (r *Rules) destinations() []image.Registry {
	var all []image.Registry
	for name, p := range r.places {
		if p.destination {
			all = append(all, name)
		}
	}
	for repo := range r.native {
		all = append(all, image.Registry{Host: repo.Host, Prefix: repo.Path})
	}
	slices.SortFunc(all, func(a, b image.Registry) int { return strings.Compare(a.String(), b.String()) })
	var out []image.Registry
	for _, name := range all {
		below := slices.ContainsFunc(out, func(o image.Registry) bool {
			return o == name || o.Host == name.Host && (o.Prefix == "" || strings.HasPrefix(name.Prefix, o.Prefix+"/"))
		})
		if !below {
			out = append(out, name)
		}
	}
	return out
}

// above calls f with each registry that a repository lies in, the nearest first,
// and its name there, until f returns false.
func above(repo image.Repository, f func(in image.Registry, name string) bool) {
	for i := len(repo.Path); i >= 0; i = strings.LastIndexByte(repo.Path[:i], '/') {
		in := image.Registry{Host: repo.Host, Prefix: repo.Path[:i]}
		if !f(in, strings.TrimPrefix(repo.Path[i:], "/")) {
			return
		}
		if i == 0 {
			return
		}
	}
	f(image.Registry{Host: repo.Host}, repo.Path)
}

// ours reports whether a repository is one of a destination: something is wanted
// in it, or the nearest registry that manifests name it by is promoted to.
func (r *Rules) ours(repo image.Repository) bool {
	if r.targets[repo] != nil {
		return true
	}
	found := false
	above(repo, func(in image.Registry, _ string) bool {
		p := r.places[in]
		found = p != nil && p.destination
		return p == nil
	})
	return found
}

// claims returns the entries that want something of a repository.
func (r *Rules) claims(repo image.Repository) []claim {
	all := slices.Clone(r.native[repo])
	above(repo, func(in image.Registry, name string) bool {
		p := r.places[in]
		if p == nil {
			return true
		}
		names := []string{name}
		if short, ok := strings.CutPrefix(name, "library/"); ok && repo.Host == image.DockerHub {
			names = append(names, short)
		}
		for _, m := range p.manifests {
			for _, n := range names {
				for _, img := range r.images[named{m, n}] {
					if src, err := m.Source.Name.Repository(n); err == nil {
						all = append(all, claim{img, src})
					}
				}
			}
		}
		return true
	})
	return all
}

// entry returns what is wanted of a digest in a repository, or nil.
func (r *Rules) entry(repo image.Repository, d image.Digest) *plan.Entry {
	t := r.targets[repo]
	if t == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(t.Want.Entries, d, func(e plan.Entry, d image.Digest) int {
		return strings.Compare(string(e.Digest), string(d))
	})
	if !ok {
		return nil
	}
	return &t.Want.Entries[i]
}

// tagged returns what is wanted under a tag in a repository, or nil.
func (r *Rules) tagged(repo image.Repository, tag string) *plan.Entry {
	t := r.targets[repo]
	if t == nil {
		return nil
	}
	for i := range t.Want.Entries {
		if slices.Contains(t.Want.Entries[i].Tags, tag) {
			return &t.Want.Entries[i]
		}
	}
	return nil
}

// open returns the retag entries without a pin that want something of a repository, under one tag or any.
func (r *Rules) open(repo image.Repository, tag string) []retagged {
	var all []retagged
	for _, c := range r.claims(repo) {
		for _, t := range c.image.Retags {
			if t.Digest == "" && (tag == "" || t.Tag == tag) {
				all = append(all, retagged{plan.SourceTag{Repository: c.source, Tag: t.SourceTag}, t.Tag, t.Pos})
			}
		}
	}
	return all
}

// pos returns the line that wants a digest in a repository under a tag; under any for an empty tag.
func (r *Rules) pos(repo image.Repository, d image.Digest, tag string) manifest.Pos {
	for _, c := range r.claims(repo) {
		for i := range c.image.Digests {
			entry := &c.image.Digests[i]
			if entry.Digest != d {
				continue
			}
			if tag == "" {
				return entry.Pos
			}
			for _, t := range entry.Tags {
				if t.Name == tag {
					return t.Pos
				}
			}
		}
		for _, t := range c.image.Retags {
			if t.Digest == d && (tag == "" || t.Tag == tag) {
				return t.Pos
			}
		}
	}
	return manifest.Pos{}
}
