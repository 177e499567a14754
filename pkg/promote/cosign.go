package promote

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// merged is a new manifest: the layers of the destination's manifest, and those of the
// source's manifest that it did not have.
type merged struct {
	from   name.Repository
	layers []v1.Descriptor // to bring from the source
	config []byte          // nil: the destination's config is used
	conf   v1.Descriptor
}

// merge merges the manifests that source and destination have under one of cosign's
// tags. Each layer is a signature or attestation of its own. It keeps the new manifest
// for the run and returns its digest, or "" if the destination has all layers.
func (s *sources) merge(ctx context.Context, c *registry.Client, dst, src name.Repository, ours, theirs string) (string, error) {
	have, err := c.Manifest(ctx, dst, ours)
	if err != nil {
		return "", fmt.Errorf("reading the destination's: %w", err)
	}
	more, err := s.from.Manifest(ctx, src, theirs)
	if err != nil {
		return "", fmt.Errorf("reading the source's: %w", err)
	}
	layers, err := more.Layers()
	if err != nil {
		return "", err
	}
	union, err := c.AddLayers(ctx, dst, have, layers)
	if err != nil || union == nil {
		return "", err
	}
	if _, err := s.keep(&union.Manifest); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unions[union.Digest.String()] = &merged{from: src, layers: union.Added, config: union.Config, conf: union.ConfigDescriptor}
	return union.Digest.String(), nil
}
