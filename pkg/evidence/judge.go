package evidence

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// Judge judges images by the policies that bind them. It is safe for concurrent use.
type Judge struct {
	policies *provenance.Policies
	reader   *Reader
}

// NewJudge returns a Judge.
func NewJudge(policies *provenance.Policies, reader *Reader) *Judge { return &Judge{policies, reader} }

// Image returns the result of each policy that binds an image, which is read once.
//
// Nothing is read of an image that no policy binds.
func (j *Judge) Image(ctx context.Context, source name.Repository, digest v1.Hash) provenance.Verdict {
	v := provenance.Verdict{Repository: source}
	if bound := j.policies.Of(source); len(bound) > 0 {
		v.Judgments = provenance.Judgments(bound, j.reader.Gather(ctx, source, digest))
	}
	return v
}
