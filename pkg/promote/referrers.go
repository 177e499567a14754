package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// maxReferrers is the maximum number of referrers of a digest, with theirs.
const maxReferrers = 1000

// relations reads the referrers of digests at sources and destinations.
type relations struct {
	client  *registry.Client
	sources *sources
	lists   memo.Map[name.Repository, map[string]v1.Hash] // tags; no digest: the list has none
	listed  memo.Map[repoDigest, bool]                    // by repository, and "subject digest"
}

// surveyReferrers adds the referrers of the wanted digests to a plan: signatures,
// attestations and others that a source has and the destination does not. It includes
// digests that are up to date, because an image may be signed after its promotion. step
// is called after each target.
func surveyReferrers(ctx context.Context, c *registry.Client, s *sources, targets []*plan.Target, p *plan.Plan, step func()) {
	r := &relations{client: c, sources: s}
	refused := refusedDigests(p)
	var mu sync.Mutex
	byHost(maxReads, targets, func(t *plan.Target) string { return t.Repository.RegistryStr() }, func(t *plan.Target) {
		var items []plan.Item
		for i := range t.Want.Entries {
			e := &t.Want.Entries[i]
			if _, no := refused[repoDigest{t.Repository, e.Digest.String()}]; !no {
				items = append(items, r.of(ctx, t.Repository, e)...)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		p.Items = append(p.Items, items...)
		step()
	})
	p.Sort()
}

// refusedDigests returns the digests that the plan does not promote to a repository.
func refusedDigests(p *plan.Plan) map[repoDigest]struct{} {
	refused := map[repoDigest]struct{}{}
	for i := range p.Items {
		if it := &p.Items[i]; !it.Writes() {
			refused[repoDigest{it.Destination, it.Digest.String()}] = struct{}{}
		}
	}
	for i := range p.Items {
		if it := &p.Items[i]; it.Writes() {
			delete(refused, repoDigest{it.Destination, it.Digest.String()})
		}
	}
	return refused
}

// of returns the items for the referrers of a wanted digest in a repository.
func (r *relations) of(ctx context.Context, dst name.Repository, e *plan.Entry) []plan.Item {
	var items []plan.Item
	for _, src := range e.Sources {
		if src.Repository == dst {
			continue
		}
		items = append(items, r.referrers(ctx, dst, src.Repository, e.Digest)...)
		items = append(items, r.cosign(ctx, dst, src.Repository, e.Digest)...)
	}
	slices.SortFunc(items, plan.Compare)
	items = slices.CompactFunc(items, func(a, b plan.Item) bool { return a.Digest == b.Digest && a.Tag == b.Tag })
	for i := range items {
		items[i].Destination, items[i].Kind, items[i].Subject = dst, plan.Referrer, e.Digest
		items[i].Status = items[i].Action.Status()
	}
	return items
}

func unreadable(src name.Repository, digest v1.Hash, err error) plan.Item {
	it := plan.Item{Action: plan.Unreadable, Digest: digest, Source: src.Digest(digest.String()).String()}
	it.Fail("reading referrers: "+err.Error(), err)
	return it
}

// referrers compares the referrers of a digest, and theirs, at source and destination.
func (r *relations) referrers(ctx context.Context, dst, src name.Repository, digest v1.Hash) []plan.Item {
	var items []plan.Item
	seen := map[v1.Hash]struct{}{}
	for queue := []v1.Hash{digest}; len(queue) > 0; queue = queue[1:] {
		there, err := r.list(ctx, src, queue[0])
		if err != nil {
			return append(items, unreadable(src, digest, fmt.Errorf("source %s: %w", src, err)))
		}
		if len(there) == 0 {
			continue
		}
		here, err := r.list(ctx, dst, queue[0])
		if err != nil {
			return append(items, unreadable(src, digest, fmt.Errorf("destination %s: %w", dst, err)))
		}
		for _, d := range there {
			if _, known := seen[d.Digest]; known {
				continue
			}
			seen[d.Digest] = struct{}{}
			if len(seen) > maxReferrers {
				return append(items, unreadable(src, digest, fmt.Errorf("more than %d referrers", maxReferrers)))
			}
			if slices.ContainsFunc(here, func(h v1.Descriptor) bool { return h.Digest == d.Digest }) {
				queue = append(queue, d.Digest)
				continue
			}
			switch refers, err := r.refers(ctx, src, d.Digest, queue[0]); {
			case err != nil:
				items = append(items, unreadable(src, digest, fmt.Errorf("source %s: reading %s: %w", src, d.Digest, err)))
			case refers:
				queue = append(queue, d.Digest)
				items = append(items, plan.Item{Action: plan.Copy, Digest: d.Digest, From: src})
			}
		}
	}
	return items
}

// refers reports whether a manifest refers to a subject. A list of referrers may have
// wrong entries, so the manifest itself is read. The copy uses this read.
func (r *relations) refers(ctx context.Context, src name.Repository, digest, subject v1.Hash) (bool, error) {
	return r.listed.Do(ctx, repoDigest{src, subject.String() + " " + digest.String()}, func() (bool, error) {
		m, err := r.sources.read(ctx, src, digest.String())
		if err != nil {
			return false, err
		}
		refers := m.content.Refers(subject)
		if !refers {
			r.sources.warn(fmt.Sprintf("leaving out %s@%s: it is listed as a referrer of %s, which is not its subject", src, digest, subject))
		}
		return refers, nil
	})
}

// list returns the referrers of a digest in a repository.
func (r *relations) list(ctx context.Context, repo name.Repository, digest v1.Hash) ([]v1.Descriptor, error) {
	tags, err := r.tags(ctx, repo)
	if err != nil {
		return nil, err
	}
	return r.client.Referrers(ctx, repo, digest, func(tag string) bool { _, ok := tags[tag]; return ok })
}

// tags returns the tags of a repository that have referrers. It reads them once.
func (r *relations) tags(ctx context.Context, repo name.Repository) (map[string]v1.Hash, error) {
	return r.lists.Do(ctx, repo, func() (map[string]v1.Hash, error) {
		list, err := r.client.List(ctx, repo, func(tag string) bool { _, _, ok := image.Attached(tag); return ok })
		switch {
		case errors.Is(err, registry.ErrNotFound):
			return map[string]v1.Hash{}, nil
		case err != nil:
			return nil, fmt.Errorf("listing tags: %w", err)
		}
		return list.ByTag(), nil
	})
}

// cosign compares a digest's cosign tags at source and destination.
func (r *relations) cosign(ctx context.Context, dst, src name.Repository, digest v1.Hash) []plan.Item {
	there, err := r.tags(ctx, src)
	if err != nil {
		return nil // referrers has reported it
	}
	var items []plan.Item
	for _, suffix := range image.CosignSuffixes() {
		tag := registry.FallbackTag(digest) + suffix
		if _, ok := there[tag]; !ok {
			continue
		}
		it, needed, err := r.cosignTag(ctx, dst, src, tag)
		if err != nil {
			it, needed = unreadable(src, digest, fmt.Errorf("tag %s: %w", tag, err)), true
			it.Source = src.Tag(tag).String()
		}
		if needed {
			it.Tag = tag
			items = append(items, it)
		}
	}
	return items
}

// cosignTag compares one of cosign's tags at source and destination.
func (r *relations) cosignTag(ctx context.Context, dst, src name.Repository, tag string) (it plan.Item, needed bool, err error) {
	theirs, err := r.resolve(ctx, src, tag)
	if err != nil || theirs == (v1.Hash{}) {
		return plan.Item{}, false, err
	}
	ours, err := r.resolve(ctx, dst, tag)
	switch {
	case err != nil || ours == theirs:
		return plan.Item{}, false, err
	case ours == (v1.Hash{}):
		if _, err := r.sources.read(ctx, src, theirs.String()); err != nil {
			return plan.Item{}, false, fmt.Errorf("reading %s: %w", theirs, err)
		}
		return plan.Item{Action: plan.Copy, Digest: theirs, From: src}, true, nil
	case strings.HasSuffix(tag, image.SBOMSuffix):
		return plan.Item{Action: plan.Conflict, Digest: theirs, Previous: ours, From: src, Error: "the tag points to another SBOM, " + ours.String()}, true, nil
	}
	merged, err := r.sources.merge(ctx, r.client, dst, src, ours.String(), theirs.String())
	if err != nil || merged == "" {
		return plan.Item{}, false, err
	}
	return plan.Item{Action: plan.Move, Digest: image.Hash(merged), Previous: ours, From: src, Source: src.Tag(tag).String()}, true, nil
}

// resolve returns the digest of a tag. It is zero if there is no such tag.
func (r *relations) resolve(ctx context.Context, repo name.Repository, tag string) (v1.Hash, error) {
	tags, err := r.tags(ctx, repo)
	if err != nil {
		return v1.Hash{}, err
	}
	d, listed := tags[tag]
	if !listed || d != (v1.Hash{}) {
		return d, nil
	}
	d, state, err := r.client.ResolveListed(ctx, repo, tag)
	if state == inventory.Unknown {
		return v1.Hash{}, err
	}
	return d, nil
}
