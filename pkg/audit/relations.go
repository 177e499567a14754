package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const (
	maxDepth    = 8       // of indexes in indexes, and of referrers of referrers
	maxRemember = 200_000 // digests in the cache of members
	readAtOnce  = 16      // manifests that are read concurrently for one event
)

// relations finds out how a digest belongs to a wanted one.
//
// It may be the child of an index or a referrer. The members of an image manifest
// never change, so they are cached.
type relations struct {
	client *registry.Client
	flight singleflight.Group

	mu    sync.Mutex
	known map[v1.Hash]*members
	count int // digests in known
}

// members are the digests that an image manifest refers to.
type members struct {
	children []v1.Hash
	indexes  []v1.Hash // the children that are indexes
	subject  v1.Hash
}

// link says how a digest belongs to a wanted one.
type link struct {
	to  *wantedEntry
	how string
}

func newRelations(c *registry.Client) *relations {
	return &relations{client: c, known: map[v1.Hash]*members{}}
}

// members returns the members of an image manifest.
//
// It reads the manifest from the first repository that has it. The result is nil if
// none has it.
func (f *relations) members(ctx context.Context, at []name.Repository, d v1.Hash) (*members, error) {
	f.mu.Lock()
	m := f.known[d]
	f.mu.Unlock()
	if m != nil {
		return m, nil
	}
	var unread error
	for _, repo := range at {
		got, err, _ := f.flight.Do(repo.Digest(d.String()).String(), func() (any, error) { return f.read(ctx, repo, d) })
		if err != nil && ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
			got, err = f.read(ctx, repo, d) // the caller that read it for all was canceled
		}
		if err == nil {
			return got.(*members), nil
		}
		if !errors.Is(err, registry.ErrNotFound) && unread == nil {
			unread = fmt.Errorf("reading %s: %w", repo.Digest(d.String()).String(), err)
		}
	}
	return nil, unread
}

func (f *relations) read(ctx context.Context, repo name.Repository, d v1.Hash) (*members, error) {
	raw, err := f.client.Manifest(ctx, repo, d.String())
	if err != nil {
		return nil, err
	}
	content, err := raw.Parse()
	if err != nil {
		return nil, err
	}
	m := &members{}
	for _, c := range content.Children {
		child := c.Digest
		m.children = append(m.children, child)
		if c.MediaType.IsIndex() {
			m.indexes = append(m.indexes, child)
		}
	}
	if content.Subject != nil {
		m.subject = content.Subject.Digest
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count += 1 + len(m.children); f.count > maxRemember {
		clear(f.known)
		f.count = 1 + len(m.children)
	}
	f.known[d] = m
	return m, nil
}

// explain returns how a digest belongs to one of entries, or nil.
//
// Up to depth referrers may be between them.
func (f *relations) explain(ctx context.Context, repo name.Repository, d v1.Hash, entries []wantedEntry, depth int) (*link, error) {
	for i := range entries {
		if entries[i].Digest == d {
			return &link{&entries[i], "wanted there"}, nil
		}
	}
	if l, err := f.child(ctx, repo, d, entries); l != nil || err != nil {
		return l, err
	}
	if depth == 0 {
		return nil, nil
	}
	for _, src := range sourcesOf(repo, entries) {
		if l, err := f.referrer(ctx, repo, src, d, entries, depth); l != nil || err != nil {
			return l, err
		}
	}
	return nil, nil
}

// sourcesOf returns the source repositories of a repository's entries.
//
// It leaves out the repository itself: content of a repository that is its own
// source proves nothing.
func sourcesOf(repo name.Repository, entries []wantedEntry) []name.Repository {
	var all []name.Repository
	for i := range entries {
		for _, s := range entries[i].Sources {
			if s.Repository != repo && !slices.Contains(all, s.Repository) {
				all = append(all, s.Repository)
			}
		}
	}
	return all
}

// referrer returns how a digest refers to a wanted one, or nil.
//
// The source must have the digest too.
func (f *relations) referrer(ctx context.Context, repo, src name.Repository, d v1.Hash, entries []wantedEntry, depth int) (*link, error) {
	state, err := f.client.Has(ctx, src, d)
	switch state {
	case inventory.Unknown:
		return nil, fmt.Errorf("reading source %s: %w", src.Digest(d.String()).String(), err)
	case inventory.Absent:
		return nil, nil
	}
	m, err := f.members(ctx, []name.Repository{src}, d)
	switch {
	case err != nil || m == nil:
		return nil, err
	case m.subject == (v1.Hash{}):
		return f.cosigned(ctx, src, d, entries)
	}
	l, err := f.explain(ctx, repo, m.subject, entries, depth-1)
	if l == nil || err != nil {
		return nil, err
	}
	return &link{l.to, fmt.Sprintf("refers to %s, and source %s has it", m.subject, src)}, nil
}

// child returns a link to the wanted index that contains a digest, or nil.
//
// The index may contain it in an index of its own.
func (f *relations) child(ctx context.Context, repo name.Repository, d v1.Hash, entries []wantedEntry) (*link, error) {
	var mu sync.Mutex
	var found *link
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i := range entries {
		e := &entries[i]
		g.Go(func() error {
			err := f.descend(inner, append(e.Candidates(repo.RegistryStr()), repo), e.Digest, func(m *members) error {
				if slices.Contains(m.children, d) {
					return errFound
				}
				return nil
			})
			if !errors.Is(err, errFound) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			found = &link{e, "a child of index " + e.Digest.String()}
			return errFound
		})
	}
	err := g.Wait()
	if found != nil {
		return found, nil
	}
	return nil, err
}

// errFound ends a search that was successful.
var errFound = errors.New("found")

// descend calls visit with the members of an index and of the indexes below it.
//
// It stops at the first error. It leaves out manifests that no repository has. Indexes
// may be below many others, so that one that was visited is not visited again.
func (f *relations) descend(ctx context.Context, at []name.Repository, index v1.Hash, visit func(*members) error) error {
	visited := map[v1.Hash]int{} // the depth that was left
	var walk func(index v1.Hash, depth int) error
	walk = func(index v1.Hash, depth int) error {
		if left, again := visited[index]; again && left >= depth {
			return nil
		}
		visited[index] = depth
		m, err := f.members(ctx, at, index)
		if err != nil || m == nil {
			return err
		}
		if err := visit(m); err != nil || depth == 0 {
			return err
		}
		for _, inner := range m.indexes {
			if err := walk(inner, depth-1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(index, maxDepth)
}
