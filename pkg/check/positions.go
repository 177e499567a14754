package check

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// positions finds the positions of wanted edges in the files.
type positions struct {
	first  manifest.Pos // of the first manifest, for edges without a known position
	wanted *plan.Wanted
}

func positionsOf(set *manifest.Set, wanted *plan.Wanted) positions {
	p := positions{wanted: wanted}
	if len(set.Manifests) > 0 {
		p.first = manifest.Pos{File: set.Manifests[0].File}
	}
	return p
}

// of returns the position of an edge, which is of a digest or, for retag entries, of tags.
func (p positions) of(repo name.Repository, d v1.Hash, tags []string) manifest.Pos {
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

// ofTag returns the position of the first of the tags that has one, else that of the digest.
func (p positions) ofTag(repo name.Repository, d v1.Hash, tags []string) manifest.Pos {
	if t := p.wanted.Target(repo); t != nil {
		for _, tag := range tags {
			if pos := t.Pos(d, tag); pos.File != "" {
				return pos
			}
		}
	}
	return p.of(repo, d, tags)
}

// destinations returns the repositories that an image is promoted to.
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
