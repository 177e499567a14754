package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// Policies returns the enabled policies of all manifests.
func (s *Set) Policies() *provenance.Policies {
	var all []provenance.Bound
	for _, m := range s.Manifests {
		if !m.Native && m.Source != nil {
			all = append(all, provenance.Bound{Policy: m.Policy, Source: m.Source.Name, File: m.File})
		}
	}
	return provenance.NewPolicies(all)
}

// checkPolicies adds faults for policies that contradict each other, or do not fit the images.
func (s *Set) checkPolicies() {
	first := map[image.Registry]*Manifest{}
	for _, m := range s.Manifests {
		switch {
		case m.Native:
		case first[m.Source.Name] == nil:
			first[m.Source.Name] = m
		default:
			s.compare(first[m.Source.Name], m)
		}
	}
	if !s.Broken() { // else some images are not known
		s.checkLevels()
	}
}

// compare adds faults for two manifests of one source whose policies differ.
//
// An image of the source would be judged by one of the two, or by none.
func (s *Set) compare(a, b *Manifest) {
	keys := a.Policy.Differences(b.Policy)
	if len(keys) == 0 {
		return
	}
	why := fmt.Sprintf("%s and %s differ in %s", a.policyPos(), b.policyPos(), strings.Join(keys, ", "))
	switch {
	case a.Policy == nil:
		why = fmt.Sprintf("%s has none, %s has one", a.policyPos(), b.policyPos())
	case b.Policy == nil:
		why = fmt.Sprintf("%s has one, %s has none", a.policyPos(), b.policyPos())
	}
	for _, m := range []*Manifest{a, b} {
		s.addFault(Fault{
			Pos: m.policyPos(), Severity: Broken, Message: fmt.Sprintf("the policies of source %s must be equal: %s", m.Source.Name, why),
			ID: strings.Join([]string{"policies", a.File, b.File}, "\n"),
		})
	}
}

// policyPos returns the place of the policy or, if there is none, of the source.
func (m *Manifest) policyPos() Pos {
	if m.Policy != nil {
		return m.Policy.Pos
	}
	return m.Source.Pos
}

// checkLevels adds warnings for patterns of images that match no image of any manifest.
func (s *Set) checkLevels() {
	var repos []name.Repository
	for _, m := range s.Manifests {
		if m.Policy == nil || len(m.Policy.Levels) == 0 {
			continue
		}
		if repos == nil {
			repos = s.sourceRepositories()
		}
		for i := range m.Policy.Levels {
			l := &m.Policy.Levels[i]
			for _, pattern := range l.Unmatched(m.Source.Name, repos) {
				s.addFault(Fault{
					Pos: l.Pos, Severity: Warning, Message: fmt.Sprintf("levels: pattern %q matches no image below %s", pattern, m.Source.Name),
				})
			}
		}
	}
}

// sourceRepositories returns the repositories that images are promoted from, each once.
func (s *Set) sourceRepositories() []name.Repository {
	seen := map[name.Repository]struct{}{}
	all := []name.Repository{}
	for _, m := range s.Manifests {
		for i := range m.Images {
			repo, err := m.SourceRepository(&m.Images[i])
			if _, again := seen[repo]; err == nil && !again {
				seen[repo] = struct{}{}
				all = append(all, repo)
			}
		}
	}
	return all
}

// SourceRepository returns the repository that an image of the manifest is promoted from.
func (m *Manifest) SourceRepository(img *Image) (name.Repository, error) {
	if m.Native {
		return img.Repository, nil
	}
	return m.Source.Name.Repository(img.Name)
}

// addFault adds a fault between files. A set that is joined from others may have it.
func (s *Set) addFault(f Fault) {
	if !slices.Contains(s.Faults, f) {
		s.Faults = append(s.Faults, f)
	}
}
