package rebase

import (
	"fmt"
	"strings"
)

// family is one of the two sets of media types that images are described with. An
// image keeps to one: not every reader takes a mixture.
type family int

const (
	oci family = iota + 1
	docker
)

const (
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"

	ociPrefix    = "application/vnd.oci.image."
	dockerPrefix = "application/vnd.docker."
)

// counterparts are names of one thing in both families: OCI's first.
var counterparts = [][2]string{
	{"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
	{"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar"},
}

func isConfig(mediaType string) bool { return mediaType == ociConfig || mediaType == dockerConfig }

// family returns the set of types of a manifest.
func (p *picture) family() (family, error) {
	switch p.manifest.MediaType {
	case ociManifest:
		return oci, nil
	case dockerManifest:
		return docker, nil
	}
	return 0, fmt.Errorf("it is no image that can be rebased: its manifest has type %.100q", p.manifest.MediaType)
}

// config returns the type of configurations.
func (f family) config() string {
	if f == docker {
		return dockerConfig
	}
	return ociConfig
}

// layer returns the type of a layer in this family. The bytes are the same in both.
func (f family) layer(mediaType string) (string, error) {
	for _, pair := range counterparts {
		if mediaType == pair[0] || mediaType == pair[1] {
			return pair[f-oci], nil
		}
	}
	if f == oci && strings.HasPrefix(mediaType, dockerPrefix) || f == docker && strings.HasPrefix(mediaType, ociPrefix) {
		return "", fmt.Errorf("layers of type %.100q cannot be described in an image of type %s", mediaType, map[family]string{oci: ociManifest, docker: dockerManifest}[f])
	}
	return mediaType, nil
}
