package promote

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const (
	maxDepth = 8      // of nested indexes
	maxNodes = 20_000 // manifests below one digest
)

// node is a manifest with all manifests below it.
type node struct {
	*loaded
	from     []name.Repository // the repository it was read from, then other candidates for its blobs
	children []*node
	missing  []v1.Hash // digests of children that no source has
}

// treeReader reads the manifests below one digest.
type treeReader struct {
	sources *sources
	from    []name.Repository // the source, then other candidates

	mu   sync.Mutex
	seen map[string]*node
}

// tree reads a manifest that the source has, and all manifests below it. Each is read
// once in a run, even if several trees share it. Children may be read from any candidate
// for the manifest, because a mirror may be incomplete.
func (s *sources) tree(ctx context.Context, from name.Repository, digest string) (*node, error) {
	c := &treeReader{sources: s, from: s.candidates(from), seen: map[string]*node{}}
	n, err := c.node(ctx, digest, -1, 0)
	if err == nil && n == nil {
		err = registry.ErrNotFound
	}
	return n, err
}

// node reads one manifest and those below it. It returns nil if no candidate has the
// manifest. size is the size in the parent's descriptor, or -1.
func (c *treeReader) node(ctx context.Context, digest string, size int64, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("reading %s: indexes are nested more than %d deep", digest, maxDepth)
	}
	l, at, err := c.sources.first(ctx, c.from, digest)
	if l == nil || err != nil {
		return nil, err
	}
	if size >= 0 && int64(l.at.size) != size {
		return nil, fmt.Errorf("reading %s: it has %d bytes, its index says %d", digest, l.at.size, size)
	}
	c.mu.Lock()
	n, known := c.seen[digest]
	if !known {
		n = &node{loaded: l, from: at}
		c.seen[digest] = n
	}
	tooMany := len(c.seen) > maxNodes
	c.mu.Unlock()
	if known {
		return n, nil
	}
	if tooMany {
		return nil, fmt.Errorf("reading %s: more than %d manifests belong to it", digest, maxNodes)
	}
	return n, c.below(ctx, n, depth)
}

func (c *treeReader) below(ctx context.Context, n *node, depth int) error {
	below := make([]*node, len(n.content.Children))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i, d := range n.content.Children {
		g.Go(func() (err error) {
			below[i], err = c.node(ctx, d.Digest.String(), d.Size, depth+1)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, child := range below {
		if child == nil {
			n.missing = append(n.missing, n.content.Children[i].Digest)
			continue
		}
		n.children = append(n.children, child)
	}
	return nil
}

// walk calls f for n and every manifest below it, each once.
func (n *node) walk(f func(*node)) {
	seen := map[string]struct{}{}
	var visit func(*node)
	visit = func(n *node) {
		if _, ok := seen[n.digest]; ok {
			return
		}
		seen[n.digest] = struct{}{}
		for _, c := range n.children {
			visit(c)
		}
		f(n)
	}
	visit(n)
}

// repoDigest is a blob or manifest in a repository.
type repoDigest struct {
	repo   name.Repository
	digest string
}
