package manifest

import "fmt"

// Limits on what all files together may want. A small file can ask for much: each of its
// images goes to each of its destinations.
const (
	maxRepositories = 1_000_000  // destinations and mirrors of image names; the Kubernetes tree has 40,000
	maxEdges        = 10_000_000 // tags of digests in destinations; the Kubernetes tree has 707,000
)

// Limits on one list.
const (
	maxRegistries = 10_000 // registries of a manifest; the Kubernetes tree has 30
	maxItems      = 1_000  // mirrors, mutable-tags and other lists of a few words
)

// bound breaks a set that wants more than the limits. What is beyond them is not in the set then.
func (s *Set) bound() *Set {
	repositories, edges := 0, 0
	for i, m := range s.Manifests {
		r, e := m.size()
		repositories, edges = repositories+r, edges+e
		if repositories <= maxRepositories && edges <= maxEdges {
			continue
		}
		message := fmt.Sprintf("more than %d edges, which are tags in destination repositories: "+
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
		return s
	}
	return s
}

// size returns how many repositories and edges m speaks of. Refused entries are edges, too: reports list them.
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
