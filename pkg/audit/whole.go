package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// whole judges a push that names neither a tag nor a digest.
//
// Replications of Harbor are such pushes. All that the repository holds must be
// wanted.
func (q *inquirer) whole(ctx context.Context, v verdict, r *rules) (verdict, error) {
	repo := v.Event.Repository
	held, err := q.listed(ctx, repo)
	switch {
	case err != nil:
		return v, fmt.Errorf("reading destination %s: %w", repo, err)
	case len(held) == 0:
		return q.unseen(v)
	}
	s := &sweep{inquirer: q, rules: r}
	for _, img := range held {
		if err := s.compare(ctx, repo, r.wanted.Target(repo), img.Digests); err != nil {
			return v, err
		}
	}
	s.drift.finish()
	for _, f := range s.drift.Findings {
		switch f.Kind {
		case extraTag, extraDigest, movedTag:
			v.Found = f.Digest
			v.Reason = fmt.Sprintf("the push names neither tag nor digest, and the repository holds %s: %s", f, f.Reason)
			return v, nil
		}
	}
	v.Outcome, v.Reason = verified, "the push names neither tag nor digest, and all that the registry lists in the repository agrees with the manifests"
	return v, nil
}

// listed returns what a registry lists in one repository.
//
// It is empty if the registry does not have the repository.
func (q *inquirer) listed(ctx context.Context, repo name.Repository) (inventory.Snapshot, error) {
	alone := image.NewRegistry(repo.RegistryStr(), repo.RepositoryStr())
	all, err := q.client.Snapshot(ctx, alone, registry.SnapshotOptions{Listed: true, Alone: true}, func(string) {})
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	return all, err
}
