package add

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// snapshotReader reads a snapshot in place of the source registries of teams.
type snapshotReader struct {
	teams    []*team
	snapshot inventory.Snapshot
}

// digests returns the digests of a repository.
func (s *snapshotReader) digests(repo name.Repository) []inventory.Tagged {
	for _, t := range s.teams {
		below, ok := t.Source.Name.Relative(repo)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(s.snapshot, func(im inventory.Image) bool { return im.Name == below }); i >= 0 {
			return s.snapshot[i].Digests
		}
	}
	return nil
}

// Tags implements Reader.
func (s *snapshotReader) Tags(_ context.Context, repo name.Repository) ([]string, error) {
	var tags []string
	for _, d := range s.digests(repo) {
		tags = append(tags, d.Tags...)
	}
	return tags, nil
}

// Digest implements Reader.
func (s *snapshotReader) Digest(_ context.Context, repo name.Repository, ref string) (v1.Hash, bool, error) {
	for _, d := range s.digests(repo) {
		if d.Digest.String() == ref || slices.Contains(d.Tags, ref) {
			return d.Digest, true, nil
		}
	}
	return v1.Hash{}, false, nil
}

// Below implements Reader.
func (s *snapshotReader) Below(_ context.Context, root image.Registry, _ func(string) bool) (inventory.Snapshot, error) {
	var all inventory.Snapshot
	for _, t := range s.teams {
		for _, im := range s.snapshot {
			repo, err := t.Source.Name.Repository(im.Name)
			if err != nil {
				return nil, err
			}
			if _, ok := root.Relative(repo); ok {
				all = append(all, inventory.Image{Name: repo.RepositoryStr(), Digests: im.Digests})
			}
		}
	}
	return all.Sort(), nil
}
