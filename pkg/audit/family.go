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
	maxRemember = 200_000 // digests in the memory of what manifests point to
	readAtOnce  = 16      // manifests that are read for one event
)

// family finds out how a digest belongs to what is wanted: as the child of an index,
// or as a referrer. What a manifest points to never changes and is remembered.
type family struct {
	client *registry.Client
	flight singleflight.Group

	mu    sync.Mutex
	known map[v1.Hash]*members
	count int // digests in known
}

// members is what a manifest points to.
type members struct {
	children []v1.Hash
	indexes  []v1.Hash // those of the children that are indexes themselves
	subject  v1.Hash
}

// link is how a digest belongs to what is wanted.
type link struct {
	to  *wantedEntry
	how string
}

func newFamily(c *registry.Client) *family {
	return &family{client: c, known: map[v1.Hash]*members{}}
}

// members reads what a manifest points to, in the first of these repositories that
// has it; nil if none has.
func (f *family) members(ctx context.Context, at []name.Repository, d v1.Hash) (*members, error) {
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
			got, err = f.read(ctx, repo, d) // who read it for all was stopped
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

func (f *family) read(ctx context.Context, repo name.Repository, d v1.Hash) (*members, error) {
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
		if registry.IsIndex(c) {
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

// explain returns how a digest belongs to what is wanted of a repository, or nil.
func (f *family) explain(ctx context.Context, repo name.Repository, d v1.Hash, entries []wantedEntry) (*link, error) {
	return f.explainTo(ctx, repo, d, entries, maxDepth)
}

func (f *family) explainTo(ctx context.Context, repo name.Repository, d v1.Hash, entries []wantedEntry, depth int) (*link, error) {
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

// sourcesOf returns the repositories that the entries of a repository come from, itself left out:
// what a place holds that is its own source proves nothing.
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

// referrer returns how a digest that a source holds refers to what is wanted.
func (f *family) referrer(ctx context.Context, repo, src name.Repository, d v1.Hash, entries []wantedEntry, depth int) (*link, error) {
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
	l, err := f.explainTo(ctx, repo, m.subject, entries, depth-1)
	if l == nil || err != nil {
		return nil, err
	}
	return &link{l.to, fmt.Sprintf("refers to %s, and source %s has it", m.subject, src)}, nil
}

// child returns the index that holds a digest, or an index in it.
func (f *family) child(ctx context.Context, repo name.Repository, d v1.Hash, entries []wantedEntry) (*link, error) {
	var mu sync.Mutex
	var found *link
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i := range entries {
		e := &entries[i]
		g.Go(func() error {
			holds, err := f.holds(inner, append(e.Candidates(repo.RegistryStr()), repo), e.Digest, d, maxDepth)
			if err != nil || !holds {
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

// errFound ends a search.
var errFound = errors.New("found")

// holds reports whether an index names a digest, itself or by an index that it names.
func (f *family) holds(ctx context.Context, at []name.Repository, index, d v1.Hash, depth int) (bool, error) {
	m, err := f.members(ctx, at, index)
	if err != nil || m == nil {
		return false, err
	}
	if slices.Contains(m.children, d) {
		return true, nil
	}
	if depth == 0 {
		return false, nil
	}
	for _, inner := range m.indexes {
		if holds, err := f.holds(ctx, at, inner, d, depth-1); holds || err != nil {
			return holds, err
		}
	}
	return false, nil
}

// descendants returns every manifest below an index, as far as it can be read.
func (f *family) descendants(ctx context.Context, at []name.Repository, index v1.Hash, depth int) ([]v1.Hash, error) {
	m, err := f.members(ctx, at, index)
	if err != nil || m == nil {
		return nil, err
	}
	all := slices.Clone(m.children)
	for _, inner := range m.indexes {
		if depth == 0 {
			break
		}
		below, err := f.descendants(ctx, at, inner, depth-1)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}
