package check

import (
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// places finds where wishes are written.
type places struct {
	first  manifest.Pos // of the first manifest, where nothing better is known
	wanted *plan.Wanted
}

func placesOf(set *manifest.Set, wanted *plan.Wanted) places {
	p := places{wanted: wanted}
	if len(set.Manifests) > 0 {
		p.first = manifest.Pos{File: set.Manifests[0].File}
	}
	return p
}

// of returns where a wish for a repository is written.
func (p places) of(repo image.Repository, d image.Digest, tags []string) manifest.Pos {
	t := p.wanted.Target(repo)
	if t == nil {
		return p.first
	}
	if pos := t.Pos(d, ""); pos.File != "" {
		return pos
	}
	for _, tag := range tags {
		if retags := t.Retags(tag); len(retags) > 0 {
			return retags[0].Pos
		}
	}
	return p.first
}

// destinations returns the repositories that an entry is promoted to.
func destinations(m *manifest.Manifest, img *manifest.Image) []image.Repository {
	if m.Native {
		return []image.Repository{img.Repository}
	}
	all := make([]image.Repository, 0, len(m.Destinations))
	for _, dst := range m.Destinations {
		if repo, err := dst.Name.Repository(img.Name); err == nil {
			all = append(all, repo)
		}
	}
	return all
}
