package check

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// PlatformReader reads the images of an index with their platforms.
type PlatformReader interface {
	// Images returns the images of an index, without attestations and children that the
	// repository does not have. Of another manifest it returns that manifest.
	Images(ctx context.Context, repo name.Repository, digest v1.Hash) ([]PlatformImage, error)
	// Platform returns the platform in the config of an image; the zero value if it has none.
	Platform(ctx context.Context, repo name.Repository, digest v1.Hash) (v1.Platform, error)
}

// PlatformImage is an image with its platform.
type PlatformImage struct {
	Digest   v1.Hash
	Platform v1.Platform // that the index names; may be zero
}
