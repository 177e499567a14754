package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// surveyDeep asks the destinations for all children and blobs of the digests that are up
// to date, and adds the digests with missing content to the plan. A garbage collection
// of the registry, or an interrupted copy of another tool, can leave a tag without its
// content. step is called after each target.
func surveyDeep(ctx context.Context, c *registry.Client, s *sources, w *plan.Wanted, p *plan.Plan, step func()) {
	planned := map[repoDigest]struct{}{}
	for i := range p.Items {
		planned[repoDigest{p.Items[i].Destination, p.Items[i].Digest.String()}] = struct{}{}
	}
	var mu sync.Mutex
	byHost(maxReads, w.Targets, func(t *plan.Target) string { return t.Repository.RegistryStr() }, func(t *plan.Target) {
		defer step()
		d := deep{client: c, sources: s, repo: t.Repository}
		for i := range t.Want.Entries {
			e := &t.Want.Entries[i]
			if _, ok := planned[repoDigest{t.Repository, e.Digest.String()}]; ok {
				continue
			}
			lost, err := d.manifest(ctx, e.Digest.String(), 0)
			if lost == "" && err == nil {
				continue
			}
			it := repair(ctx, s, t.Repository, e, lost, err)
			mu.Lock()
			for edge := range e.Edges() {
				it.Tag = edge.Tag
				p.Items = append(p.Items, it)
				p.UpToDate--
			}
			if it.Action == plan.Copy {
				p.Warnings = append(p.Warnings, fmt.Sprintf("%s has lost %s: it is copied again", t.Repository.Digest(e.Digest.String()).String(), lost))
			}
			mu.Unlock()
		}
	})
	p.Sort()
}

// repair returns the item for a digest whose content is missing or could not be read,
// without a tag.
func repair(ctx context.Context, s *sources, dst name.Repository, e *plan.Entry, lost string, err error) plan.Item {
	it := plan.Item{
		Destination: dst, Digest: e.Digest, Action: plan.Unreadable,
		From: e.Sources[0].Repository,
	}
	if err != nil {
		it.Fail(fmt.Sprintf("reading destination %s: %v", dst.Digest(e.Digest.String()).String(), err), err)
		return it
	}
	switch f := s.find(ctx, e, dst); f.State {
	case inventory.Present:
		it.Action, it.Status, it.From = plan.Copy, plan.Planned, f.From
	case inventory.Absent:
		it.Action, it.Status = plan.Missing, plan.Refused
		it.Error = fmt.Sprintf("the destination has lost %s, and no source holds the digest", lost)
	default:
		it.Fail(fmt.Sprintf("the destination has lost %s; reading the source: %v", lost, f.Err), f.Err)
	}
	return it
}

// deep looks for the content of digests in one repository.
type deep struct {
	client  *registry.Client
	sources *sources
	repo    name.Repository
	known   memo.Map[string, string] // by digest: what is missing; empty: it is complete
}

// manifest returns the first missing content of a manifest, or the manifest itself if the
// repository does not have it.
func (d *deep) manifest(ctx context.Context, digest string, depth int) (lost string, err error) {
	if depth > maxDepth {
		return "", fmt.Errorf("reading %s: indexes are nested more than %d deep", digest, maxDepth)
	}
	return d.known.Do(ctx, digest, func() (string, error) {
		m, err := d.client.Manifest(ctx, d.repo, digest)
		if errors.Is(err, registry.ErrNotFound) {
			return "manifest " + digest, nil
		}
		if err != nil {
			return "", err
		}
		content, err := m.Parse()
		if err != nil {
			return "", err
		}
		return d.below(ctx, content, depth)
	})
}

// below returns a manifest's first missing child or blob.
func (d *deep) below(ctx context.Context, content *registry.Content, depth int) (lost string, err error) {
	found := make([]string, len(content.Children)+len(content.Blobs))
	var g errgroup.Group // without a context: a failure must not stop what other images wait for
	g.SetLimit(32)
	for i, child := range content.Children {
		g.Go(func() (err error) {
			found[i], err = d.manifest(ctx, child.Digest.String(), depth+1)
			return err
		})
	}
	for i, b := range content.Blobs {
		if !registry.IsForeign(b) {
			g.Go(func() (err error) {
				found[len(content.Children)+i], err = d.blob(ctx, b)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	if i := slices.IndexFunc(found, func(s string) bool { return s != "" }); i >= 0 {
		return found[i], nil
	}
	return "", nil
}

func (d *deep) blob(ctx context.Context, b v1.Descriptor) (lost string, err error) {
	return d.known.Do(ctx, b.Digest.String(), func() (string, error) {
		there, err := d.client.HasBlob(ctx, d.repo, b)
		switch {
		case registry.IsDamaged(err):
			d.sources.damage(repoDigest{d.repo, b.Digest.String()})
			return "blob " + b.Digest.String() + ", which it holds with other bytes", nil
		case there == inventory.Absent:
			return "blob " + b.Digest.String(), nil
		}
		return "", err
	})
}
