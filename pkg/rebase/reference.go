package rebase

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Reference is a reference to an image: a repository with a tag, a digest or both.
//
// If it has both, the image is read by digest, and the tag is part of its name.
type Reference struct {
	name.Repository
	Tag    string
	Digest v1.Hash
}

// ParseReference parses an image name as buildpacks tools write it.
//
// A name without a host is on Docker Hub. A name without tag and digest gets the tag
// "latest".
func ParseReference(s string) (Reference, error) {
	repository, tag, digest, err := image.SplitReference(s)
	ref := Reference{Tag: tag, Digest: digest}
	if err == nil {
		ref.Repository, err = image.ParseDockerRepository(repository)
	}
	if err != nil {
		return Reference{}, fmt.Errorf("bad image name %.160q: %w", s, err)
	}
	if ref.Tag == "" && ref.Digest == (v1.Hash{}) {
		ref.Tag = "latest"
	}
	return ref, nil
}

// String returns the full reference: REPOSITORY[:TAG][@DIGEST].
func (r Reference) String() string {
	return image.JoinReference(r.Repository.String(), r.Tag, r.Digest)
}

// query returns the digest or else the tag, for requests to the registry.
func (r Reference) query() string {
	if r.Digest != (v1.Hash{}) {
		return r.Digest.String()
	}
	return r.Tag
}

// name returns the reference in the form used to compare names in metadata: with a
// tag and without a digest.
func (r Reference) name() string {
	if r.Tag == "" {
		return r.Repository.Tag("latest").String()
	}
	return r.Repository.Tag(r.Tag).String()
}
