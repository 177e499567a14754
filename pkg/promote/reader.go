package promote

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// RuleReader reads from registries for check rules. It uses the client of a promotion,
// and does not repeat its reads. Put the zero value into a Job; New connects it. Find works
// when the promotion runs the rules.
type RuleReader struct {
	evidence.Source
	client  *registry.Client
	sources *sources
	wanted  *plan.Wanted
	configs memo.Map[string, v1.Platform] // by digest
}

// Content implements check.Contents.
func (r *RuleReader) Content(ctx context.Context, repo name.Repository, digest string) (*check.Content, error) {
	content, err := r.sources.below(ctx, repo, digest)
	if err != nil || content == nil {
		return nil, err
	}
	return &check.Content{Blobs: content.Blobs, Children: content.Children}, nil
}

// Below implements evidence.Source: it returns what the promotion has read.
func (r *RuleReader) Below(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error) {
	return r.sources.below(ctx, repo, digest)
}

// BlobSize implements check.Contents. A foreign layer that the registry does not have is
// left out of a promotion, and has its declared size.
func (r *RuleReader) BlobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error) {
	n, err := r.sources.blobSize(ctx, repo, d)
	if registry.IsForeign(d) && errors.Is(err, registry.ErrNotFound) {
		return d.Size, nil
	}
	return n, err
}

// Find implements check.Finder.
func (r *RuleReader) Find(ctx context.Context, dst name.Repository, digest v1.Hash) (inventory.State, error) {
	entry := r.wanted.Entry(dst, digest)
	if entry == nil {
		return inventory.Unknown, errors.New("no manifest refers to it")
	}
	if f := r.sources.find(ctx, entry, dst); f.State != inventory.Absent {
		return f.State, f.Err
	}
	return r.client.Has(ctx, dst, digest)
}
