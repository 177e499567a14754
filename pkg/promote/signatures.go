package promote

import (
	"context"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A RuleReader is an evidence.Source: it reads with the promotion's client, and what is
// below an image from what the promotion has read.
var _ evidence.Source = (*RuleReader)(nil)

// Manifest implements evidence.Source.
func (r *RuleReader) Manifest(ctx context.Context, repo name.Repository, ref string) (*registry.Manifest, error) {
	return r.client.Manifest(ctx, repo, ref)
}

// ReferrersOrTag implements evidence.Source.
func (r *RuleReader) ReferrersOrTag(ctx context.Context, repo name.Repository, digest v1.Hash) ([]v1.Descriptor, error) {
	return r.client.ReferrersOrTag(ctx, repo, digest)
}

// FetchBlob implements evidence.Source.
func (r *RuleReader) FetchBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error {
	return r.client.FetchBlob(ctx, repo, d, w)
}

// Signatures implements evidence.Source.
func (r *RuleReader) Signatures(ctx context.Context, repo name.Repository, digest v1.Hash) iter.Seq2[registry.Signature, error] {
	return r.client.Signatures(ctx, repo, digest)
}

// Below implements evidence.Source.
func (r *RuleReader) Below(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error) {
	return r.sources.below(ctx, repo, digest)
}
