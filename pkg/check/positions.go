package check

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// start returns the position of the first manifest, for what has no known position.
func (in *Input) start() manifest.Pos {
	if len(in.Set.Manifests) == 0 {
		return manifest.Pos{}
	}
	return manifest.Pos{File: in.Set.Manifests[0].File}
}

// position returns the position of an edge, which is of a digest or, for retag entries, of tags.
func (in *Input) position(repo name.Repository, d v1.Hash, tags []string) manifest.Pos {
	t := in.wanted.Target(repo)
	if t == nil {
		return in.start()
	}
	if pos := t.Pos(d, ""); pos.File != "" {
		return pos
	}
	for _, tag := range tags {
		if retags := t.Retags(tag); len(retags) > 0 {
			return retags[0].Pos
		}
	}
	return in.start()
}

// tagPosition returns the position of the first of the tags that has one, else that of the digest.
func (in *Input) tagPosition(repo name.Repository, d v1.Hash, tags []string) manifest.Pos {
	if t := in.wanted.Target(repo); t != nil {
		for _, tag := range tags {
			if pos := t.Pos(d, tag); pos.File != "" {
				return pos
			}
		}
	}
	return in.position(repo, d, tags)
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
