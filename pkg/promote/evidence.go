package promote

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// noEvidence is the evidence of a job that trusts no signature.
type noEvidence struct{}

// Gather implements check.Evidence.
func (noEvidence) Gather(_ context.Context, repo name.Repository, digest v1.Hash) *provenance.Evidence {
	return &provenance.Evidence{Repository: repo, Digest: digest, Err: errors.New("this command verifies no signatures")}
}
