package manifest

import "fmt"

// Limits of all files together.
//
// A small file can have many edges, because each of its images goes to each of its
// destinations.
const (
	maxRepositories = 1_000_000  // image names × destinations and mirrors; the Kubernetes tree has 40,000
	maxEdges        = 10_000_000 // tags × destinations; the Kubernetes tree has 707,000
)

// maxRegistries is the maximum number of registries of a manifest.
//
// The Kubernetes tree has up to 30.
const maxRegistries = 10_000

// checked adds the faults between files to a set that is complete otherwise.
func (s *Set) checked() *Set {
	s.checkPolicies()
	s.bound()
	return s
}

// bound adds a fault to a set that exceeds the limits, and removes the manifests beyond them.
func (s *Set) bound() {
	repositories, edges := 0, 0
	for i, m := range s.Manifests {
		r, e := m.size()
		repositories, edges = repositories+r, edges+e
		if repositories <= maxRepositories && edges <= maxEdges {
			continue
		}
		message := fmt.Sprintf("more than %d tags in destination repositories: "+
			"each image of a manifest goes to each of its destinations", maxEdges)
		if repositories > maxRepositories {
			message = fmt.Sprintf("more than %d destination repositories: "+
				"each image name of a manifest is one in each of its destinations and mirrors", maxRepositories)
		}
		if i > 0 {
			message += "; those of files before count as well"
		}
		s.Faults = append(s.Faults, Fault{Pos: Pos{File: m.File}, Severity: Broken, Message: message})
		s.Manifests = s.Manifests[:i]
		return
	}
}

// size returns the number of repositories and edges of m.
//
// Refused entries count too, because reports list them.
func (m *Manifest) size() (repositories, edges int) {
	names := make(map[string]struct{}, len(m.Images))
	for i := range m.Images {
		im := &m.Images[i]
		names[im.Name] = struct{}{}
		edges += len(im.Retags)
		for j := range im.Digests {
			edges += max(1, len(im.Digests[j].Tags))
		}
	}
	for i := range m.Refused {
		names[m.Refused[i].Name] = struct{}{}
		edges += max(1, len(m.Refused[i].Tags))
	}
	if m.Native {
		return len(names), edges
	}
	return len(names) * (len(m.Destinations) + len(m.Source.Mirrors)), edges * len(m.Destinations)
}
