package manifest

import (
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Attested returns the destinations that get evidence, such as promotion records: those
// with attestations: true, or the first one if none has it.
func (m *Manifest) Attested() []*Registry {
	var all []*Registry
	for _, d := range m.Destinations {
		if d.Attestations {
			all = append(all, d)
		}
	}
	if len(all) == 0 && len(m.Destinations) > 0 {
		return m.Destinations[:1]
	}
	return all
}

// Production returns the repository of an image in a destination, and its production name:
// the name that records and summaries have. It is below the public name of the
// destination, or else that of the repository.
func (r *Registry) Production(image string) (repo name.Repository, production string, err error) {
	if repo, err = r.Name.Repository(image); err != nil {
		return repo, "", err
	}
	if r.PublicName != "" {
		return repo, r.PublicName + "/" + image, nil
	}
	return repo, repo.String(), nil
}

// BelowPublicName returns the name of an image whose production name is a repository, and
// whether there is a public name above it. No image has the public name itself.
func (r *Registry) BelowPublicName(repo name.Repository) (string, bool) {
	if r.PublicName == "" {
		return "", false
	}
	public, err := image.ParseRegistry(r.PublicName)
	if err != nil || public.Prefix == repo.RepositoryStr() {
		return "", false
	}
	return public.Relative(repo)
}

// Wants reports whether the image has a digest, with tags or without.
func (i *Image) Wants(digest v1.Hash) bool {
	return slices.ContainsFunc(i.Digests, func(d Digest) bool { return d.Digest == digest }) ||
		slices.ContainsFunc(i.Retags, func(r Retag) bool { return r.Digest == digest })
}
