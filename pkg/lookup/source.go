package lookup

import (
	"context"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Source reads source registries for package add. It implements add.Reader.
type Source struct {
	*Registry

	client *registry.Client
	warn   func(string)
	step   func()
}

// NewSource returns a reader of source registries. warn is called with what may be missing
// in a registry whose repositories are listed, and step after each of them.
func NewSource(c *registry.Client, warn func(string), step func()) *Source {
	return &Source{Registry: NewRegistry(c), client: c, warn: warn, step: step}
}

// Below implements add.Reader. It reads the digests only of tags that keep accepts.
func (s *Source) Below(ctx context.Context, root image.Registry, keep func(tag string) bool) (inventory.Snapshot, error) {
	return s.client.Snapshot(ctx, root, registry.SnapshotOptions{Listed: true, Keep: keep, Paths: true, Step: s.step}, s.warn)
}
