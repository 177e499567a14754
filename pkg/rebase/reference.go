package rebase

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Reference names an image in a registry. It has a tag or a digest; with both, the
// digest says what is read and the tag how it is called.
type Reference struct {
	name.Repository
	Tag    string
	Digest v1.Hash
}

// ParseReference reads a name as buildpacks tools write it: Docker Hub is meant
// where the first element is no host, and latest where there is neither tag nor digest.
func ParseReference(s string) (Reference, error) {
	var ref Reference
	name, digest, pinned := strings.Cut(s, "@")
	if pinned {
		d, err := image.ParseDigest(digest)
		if err != nil {
			return Reference{}, fmt.Errorf("bad image name %.160q: %w", s, err)
		}
		ref.Digest = d
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		ref.Tag = name[i+1:]
		name = name[:i]
		if err := image.CheckTag(ref.Tag); err != nil {
			return Reference{}, fmt.Errorf("bad image name %.160q: %w", s, err)
		}
	}
	host, _, nested := strings.Cut(name, "/")
	if !nested || host != "localhost" && !strings.ContainsAny(host, ".:") {
		name = image.DockerHub + "/" + name
	}
	var err error
	if ref.Repository, err = image.ParseRepository(name); err != nil {
		return Reference{}, fmt.Errorf("bad image name %.160q: %w", s, err)
	}
	if ref.Tag == "" && !pinned {
		ref.Tag = "latest"
	}
	return ref, nil
}

// String returns the reference in full.
func (r Reference) String() string {
	s := r.Repository.String()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != (v1.Hash{}) {
		s += "@" + r.Digest.String()
	}
	return s
}

// query is what a registry is asked for.
func (r Reference) query() string {
	if r.Digest != (v1.Hash{}) {
		return r.Digest.String()
	}
	return r.Tag
}

// name is how metadata calls the image, with one spelling for all: without a
// digest, and with a tag.
func (r Reference) name() string {
	if r.Tag == "" {
		return r.Repository.Tag("latest").String()
	}
	return r.Repository.Tag(r.Tag).String()
}
