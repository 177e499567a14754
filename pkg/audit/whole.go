package audit

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// whole judges a push that names neither a tag nor a digest.
//
// Replications of Harbor are such pushes. All that the repository holds must be
// wanted.
func (q *inquirer) whole(ctx context.Context, v verdict, r *rules) (verdict, error) {
	repo := v.Event.Repository
	alone := image.NewRegistry(repo.RegistryStr(), repo.RepositoryStr())
	held, err := q.client.Snapshot(ctx, alone, registry.SnapshotOptions{Listed: true, Alone: true}, func(string) {})
	switch {
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return v, fmt.Errorf("reading destination %s: %w", repo, err)
	case len(held) == 0:
		return q.unseen(v)
	}
	s := &sweep{inquirer: q, rules: r, root: alone}
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
