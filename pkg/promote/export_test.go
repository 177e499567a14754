package promote

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// NewSources is newSources, for tests.
var NewSources = newSources

// Find is find, for tests.
func (s *sources) Find(ctx context.Context, e *plan.Entry, dst name.Repository) plan.Finding {
	return s.find(ctx, e, dst)
}

// Read is below, for tests.
func (s *sources) Read(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error) {
	return s.below(ctx, repo, digest)
}

// BlobSize is blobSize, for tests.
func (s *sources) BlobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error) {
	return s.blobSize(ctx, repo, d)
}

// Close is close, for tests.
func (s *sources) Close() error { return s.close() }
