package provenance

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Policies are the enabled policies of a set of manifests.
//
// They bind images wherever they are promoted from and to, whichever manifest lists them.
// The zero value and nil have none.
type Policies struct {
	all []sourcePolicy // in the order of their sources
}

// sourcePolicy is a policy that binds the images of a source.
type sourcePolicy struct {
	Bound
	digest string // of the policy
}

// NewPolicies returns the enabled ones of policies. Their Want has no meaning.
func NewPolicies(policies []Bound) *Policies {
	p := &Policies{}
	for _, b := range policies {
		if b.Policy.Enabled() {
			p.all = append(p.all, sourcePolicy{b, b.Digest()})
		}
	}
	slices.SortStableFunc(p.all, func(a, b sourcePolicy) int { return strings.Compare(a.Source.String(), b.Source.String()) })
	return p
}

// Any reports whether there is an enabled policy.
func (p *Policies) Any() bool { return p != nil && len(p.all) > 0 }

// Of returns the policies that bind the images of a repository, in the order of their sources.
//
// Those are the policies whose source is the repository or contains it. Equal ones that
// demand the same level count once.
func (p *Policies) Of(repo name.Repository) []Bound {
	var all []Bound
	for _, s := range p.binding(repo) {
		all = append(all, s.Bound)
	}
	return all
}

// Demands returns a text that is equal for two sets of manifests if their policies demand
// the same of the images of a repository. It is empty if none binds them.
func (p *Policies) Demands(repo name.Repository) string {
	var all []string
	for _, s := range p.binding(repo) {
		all = append(all, fmt.Sprint(s.digest, " ", s.Want))
	}
	return strings.Join(all, ",")
}

func (p *Policies) binding(repo name.Repository) []sourcePolicy {
	if p == nil {
		return nil
	}
	var bound []sourcePolicy
	for _, s := range p.all {
		names, ok := relative(s.Source, repo)
		if !ok {
			continue
		}
		s.Want = s.wanted(names)
		if !slices.ContainsFunc(bound, func(b sourcePolicy) bool { return b.digest == s.digest && b.Want == s.Want }) {
			bound = append(bound, s)
		}
	}
	return bound
}

// relative returns the names of a repository below a source, and whether it is below it or
// the source itself, which has no name there.
//
// On Docker Hub, images without another namespace have two names.
func relative(source image.Registry, repo name.Repository) (names []string, ok bool) {
	below, ok := source.Relative(repo)
	switch {
	case !ok || source.Prefix == repo.RepositoryStr():
		return nil, ok
	case source.Prefix == "" && source.RegistryStr() == image.DockerHub && strings.HasPrefix(below, "library/"):
		return []string{below, strings.TrimPrefix(below, "library/")}, true
	}
	return []string{below}, true
}

// wanted returns the highest level that levels requires of an image with one of the names.
func (p *Policy) wanted(names []string) int {
	level := 0
	for _, l := range p.Levels {
		if slices.ContainsFunc(l.Images, func(pattern string) bool { return matchesAny(pattern, names) }) {
			level = max(level, l.Level)
		}
	}
	return level
}

// Unmatched returns the patterns of an entry of levels that match none of the repositories
// of source.
func (l *ImageLevel) Unmatched(source image.Registry, repos []name.Repository) []string {
	var left []string
	for _, pattern := range l.Images {
		if !slices.ContainsFunc(repos, func(r name.Repository) bool {
			names, ok := relative(source, r)
			return ok && matchesAny(pattern, names)
		}) {
			left = append(left, pattern)
		}
	}
	return left
}

// matchesAny reports whether a pattern matches one of the names.
func matchesAny(pattern string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}
