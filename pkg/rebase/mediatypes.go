package rebase

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
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

// How the media types of a family begin.
const (
	ociPrefix    = "application/vnd.oci.image."
	dockerPrefix = "application/vnd.docker."
)

// dockerUncompressedForeignLayer is missing in package types.
const dockerUncompressedForeignLayer types.MediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar"

// counterparts lists equivalent layer types of both families, OCI first.
var counterparts = [][2]types.MediaType{
	{types.OCILayer, types.DockerLayer},
	{types.OCIUncompressedLayer, types.DockerUncompressedLayer},
	{types.OCIRestrictedLayer, types.DockerForeignLayer},
	{types.OCIUncompressedRestrictedLayer, dockerUncompressedForeignLayer},
}

// family returns the family of the image's manifest.
func (p *inputImage) family() (family, error) {
	switch p.manifest.MediaType {
	case types.OCIManifestSchema1:
		return oci, nil
	case types.DockerManifestSchema2:
		return docker, nil
	}
	return 0, fmt.Errorf("not an image that can be rebased: its manifest has media type %.100q", string(p.manifest.MediaType))
}

// config returns the media type of image configurations.
func (f family) config() types.MediaType {
	if f == docker {
		return types.DockerConfigJSON
	}
	return types.OCIConfigJSON
}

// layer returns the media type in this family that is equivalent to mediaType.
//
// The bytes of equivalent layers are the same. It is an error if the family has no
// equivalent, for example for zstd in the Docker family. Media types that belong
// to neither family are returned unchanged.
func (f family) layer(mediaType types.MediaType) (types.MediaType, error) {
	for _, pair := range counterparts {
		if mediaType == pair[0] || mediaType == pair[1] {
			return pair[f-oci], nil
		}
	}
	manifest, other := types.OCIManifestSchema1, dockerPrefix
	if f == docker {
		manifest, other = types.DockerManifestSchema2, ociPrefix
	}
	if strings.HasPrefix(string(mediaType), other) {
		return "", fmt.Errorf("layers of media type %.100q are not possible in an image of media type %s", mediaType, manifest)
	}
	return mediaType, nil
}
