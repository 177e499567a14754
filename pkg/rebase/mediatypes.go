package rebase

import (
	"fmt"
	"strings"
)

// family is the set of media types that an image uses: OCI or Docker.
//
// A rebased image keeps the family of the app, because some clients reject images
// that mix both.
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

// counterparts lists the equivalent layer types of both families, OCI first.
var counterparts = [][2]string{
	{"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
	{"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar"},
}

func isConfig(mediaType string) bool { return mediaType == ociConfig || mediaType == dockerConfig }

// family returns the family of the image's manifest.
func (p *inputImage) family() (family, error) {
	switch p.manifest.MediaType {
	case ociManifest:
		return oci, nil
	case dockerManifest:
		return docker, nil
	}
	return 0, fmt.Errorf("not an image that can be rebased: its manifest has media type %.100q", string(p.manifest.MediaType))
}

// config returns the media type of image configurations.
func (f family) config() string {
	if f == docker {
		return dockerConfig
	}
	return ociConfig
}

// layer returns the media type in this family that is equivalent to mediaType.
//
// The bytes of equivalent layers are the same. It is an error if the family has no
// equivalent, for example for zstd in the Docker family. Media types that belong
// to neither family are returned unchanged.
func (f family) layer(mediaType string) (string, error) {
	for _, pair := range counterparts {
		if mediaType == pair[0] || mediaType == pair[1] {
			return pair[f-oci], nil
		}
	}
	if f == oci && strings.HasPrefix(mediaType, dockerPrefix) || f == docker && strings.HasPrefix(mediaType, ociPrefix) {
		return "", fmt.Errorf("layers of media type %.100q are not possible in an image of media type %s", mediaType, map[family]string{oci: ociManifest, docker: dockerManifest}[f])
	}
	return mediaType, nil
}
