package check

import (
	"slices"

	"cip/pkg/image"
	"cip/pkg/manifest"
)

// place is where a digest, or a source tag, is written.
type place struct {
	m   *manifest.Manifest
	img *manifest.Image
	pos manifest.Pos
}

// places finds where wishes are written.
type places struct {
	first    manifest.Pos             // of the first manifest, where nothing better is known
	digests  map[image.Digest][]place // in the order of the files
	unpinned map[string][]place       // wanted tags of retag entries without a pin
}

func placesOf(set *manifest.Set) places {
	p := places{digests: map[image.Digest][]place{}, unpinned: map[string][]place{}}
	if len(set.Manifests) > 0 {
		p.first = manifest.Pos{File: set.Manifests[0].File}
	}
	for _, m := range set.Manifests {
		for i := range m.Images {
			img := &m.Images[i]
			for _, d := range img.Digests {
				p.digests[d.Digest] = append(p.digests[d.Digest], place{m, img, d.Pos})
			}
			for _, r := range img.Retags {
				if r.Digest != "" {
					p.digests[r.Digest] = append(p.digests[r.Digest], place{m, img, r.Pos})
				} else {
					p.unpinned[r.Tag] = append(p.unpinned[r.Tag], place{m, img, r.Pos})
				}
			}
		}
	}
	return p
}

// of returns where a wish for a repository is written: the digest, or a retag entry
// that led to it.
func (p places) of(repo image.Repository, d image.Digest, tags []string) manifest.Pos {
	candidates := p.digests[d]
	for _, t := range tags {
		candidates = append(slices.Clip(candidates), p.unpinned[t]...)
	}
	for _, c := range candidates {
		if c.leadsTo(repo) {
			return c.pos
		}
	}
	if len(candidates) > 0 {
		return candidates[0].pos
	}
	return p.first
}

func (p place) leadsTo(repo image.Repository) bool {
	return slices.Contains(destinations(p.m, p.img), repo)
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
