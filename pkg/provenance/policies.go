package provenance

import (
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
	content string
}

// NewPolicies returns the enabled ones of policies. Their Want has no meaning.
func NewPolicies(policies []Bound) *Policies {
	p := &Policies{}
	for _, b := range policies {
		if b.Policy.Enabled() {
			p.all = append(p.all, sourcePolicy{b, b.content().String()})
		}
	}
	slices.SortStableFunc(p.all, func(a, b sourcePolicy) int { return strings.Compare(a.Source.String(), b.Source.String()) })
	return p
}

// Equal reports whether two policies demand the same of an image.
func (b Bound) Equal(other Bound) bool { return b.Want == other.Want && b.content() == other.content() }

// Any reports whether there is an enabled policy.
func (p *Policies) Any() bool { return p != nil && len(p.all) > 0 }

// Of returns the policies that bind the images of a repository, in the order of their sources.
//
// Those are the policies whose source is the repository or contains it. Equal ones that
// demand the same level count once.
func (p *Policies) Of(repo name.Repository) []Bound {
	if p == nil {
		return nil
	}
	var bound []Bound
	var contents []string
	for _, s := range p.all {
		names, ok := relative(s.Source, repo)
		if !ok {
			continue
		}
		b := s.Bound
		b.Want = s.wanted(names)
		again := false
		for i := range bound {
			again = again || contents[i] == s.content && bound[i].Want == b.Want
		}
		if !again {
			bound, contents = append(bound, b), append(contents, s.content)
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
