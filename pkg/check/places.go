package check

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

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
func (p places) of(repo name.Repository, d v1.Hash, tags []string) manifest.Pos {
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
func destinations(m *manifest.Manifest, img *manifest.Image) []name.Repository {
	if m.Native {
		return []name.Repository{img.Repository}
	}
	all := make([]name.Repository, 0, len(m.Destinations))
	for _, dst := range m.Destinations {
		if repo, err := dst.Name.Repository(img.Name); err == nil {
			all = append(all, repo)
		}
	}
	return all
}
