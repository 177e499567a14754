package audit

import (
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// rules are the manifests, indexed to compare events with them.
//
// They do not change.
type rules struct {
	Read   time.Time // when the reading began
	Commit string    // of the manifests; empty: they are from a directory
	Set    *manifest.Set
	Sites  *registry.Entries
	Faults []manifest.Fault // overlaps

	wanted     *plan.Wanted
	registries map[image.Registry]bool // registries in manifests; the value says whether it is a destination
	hosts      map[string]struct{}     // hosts in manifests
}

// newRules indexes a set that is not broken.
//
// Retag entries without a pin stay unresolved: their source tags are read when an
// event needs them.
func newRules(set *manifest.Set, commit string, read time.Time) *rules {
	wanted := plan.Desired(set, nil)
	r := &rules{
		Read: read, Commit: commit, Set: set, Sites: registry.EntriesOf(set), Faults: wanted.Faults,
		wanted: wanted, registries: map[image.Registry]bool{}, hosts: map[string]struct{}{},
	}
	name := func(at image.Registry, destination bool) {
		r.registries[at] = r.registries[at] || destination
		r.hosts[at.RegistryStr()] = struct{}{}
	}
	for _, t := range wanted.Targets {
		r.hosts[t.Repository.RegistryStr()] = struct{}{}
	}
	for _, m := range set.Manifests {
		if m.Native {
			continue
		}
		name(m.Source.Name, false)
		for _, mirror := range m.Source.Mirrors {
			name(mirror, false)
		}
		for _, d := range m.Destinations {
			name(d.Name, true)
		}
	}
	return r
}

// destinations returns the registries that are promoted to, sorted.
//
// A registry below another one is left out.
func (r *rules) destinations() []image.Registry {
	var all []image.Registry
	for name, destination := range r.registries {
		if destination {
			all = append(all, name)
		}
	}
	for _, t := range r.wanted.Targets {
		if t.InPlace() {
			all = append(all, image.NewRegistry(t.Repository.RegistryStr(), t.Repository.RepositoryStr()))
		}
	}
	slices.SortFunc(all, func(a, b image.Registry) int { return strings.Compare(a.String(), b.String()) })
	var out []image.Registry
	for _, name := range all {
		below := slices.ContainsFunc(out, func(o image.Registry) bool {
			return o == name || o.RegistryStr() == name.RegistryStr() && (o.Prefix == "" || strings.HasPrefix(name.Prefix, o.Prefix+"/"))
		})
		if !below {
			out = append(out, name)
		}
	}
	return out
}

// inDestination reports whether a repository is in a destination.
//
// That is so if a manifest wants something in the repository, or if the nearest
// registry above it in the manifests is a destination.
func (r *rules) inDestination(repo name.Repository) bool {
	if r.wanted.Target(repo) != nil {
		return true
	}
	for in := (image.NewRegistry(repo.RegistryStr(), repo.RepositoryStr())); ; in.Prefix = in.Prefix[:max(0, strings.LastIndexByte(in.Prefix, '/'))] {
		destination, named := r.registries[in]
		if named || in.Prefix == "" {
			return destination
		}
	}
}

// tagged returns the entry that wants a tag in a repository, or nil.
func (r *rules) tagged(repo name.Repository, tag string) *plan.Entry {
	t := r.wanted.Target(repo)
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

// retags returns a repository's retag entries without a pin.
//
// If tag is not empty, they are those for this tag.
func (r *rules) retags(repo name.Repository, tag string) []plan.Retag {
	if t := r.wanted.Target(repo); t != nil {
		return t.Retags(tag)
	}
	return nil
}

// pos returns the line that wants a digest under a tag.
//
// An empty tag matches all tags.
func (r *rules) pos(repo name.Repository, d v1.Hash, tag string) manifest.Pos {
	if t := r.wanted.Target(repo); t != nil {
		return t.Pos(d, tag)
	}
	return manifest.Pos{}
}
