package check

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"golang.org/x/sync/errgroup"
)

// Contents reads what manifests point to.
type Contents interface {
	// Content returns what a manifest points to; nil if the repository does not hold it.
	Content(ctx context.Context, repo name.Repository, digest string) (*Content, error)
}

// Content is what a manifest points to.
type Content struct {
	Size     int64    // bytes of config and layers
	Children []string // digests of an index's manifests
}

// maxDepth is how deep indexes may nest: what is deeper is not promoted either.
const maxDepth = 8

// Size finds images that are too large.
type Size struct {
	Limit    int64 // bytes
	Contents Contents
}

// Name implements Rule.
func (Size) Name() string { return "size" }

// About implements Rule.
func (Size) About() string { return "an image about to be promoted is over the size limit" }

// Reach implements Rule.
func (Size) Reach() Reach { return Registries }

// Check implements Rule.
func (s Size) Check(ctx context.Context, in *Input) []Finding {
	return each(ctx, in.Images, atOnce, s.judge)
}

func (s Size) judge(ctx context.Context, im Image) []Finding {
	top, err := s.largest(ctx, im.From, im.Digest.String(), 0)
	switch {
	case err != nil:
		return []Finding{im.finding(Failed, fmt.Sprintf("reading the size of %s: %v", im.Ref(), err))}
	case top.size <= s.Limit:
		return nil
	case top.digest != im.Digest.String():
		return []Finding{im.finding(Error, fmt.Sprintf("%s: its largest image, %s, has %s", im.Ref(), top.digest, s.over(top.size)))}
	}
	return []Finding{im.finding(Error, fmt.Sprintf("%s has %s", im.Ref(), s.over(top.size)))}
}

func (s Size) over(size int64) string {
	const mib = 1 << 20
	return fmt.Sprintf("%.1f MiB (%d bytes): the limit is %d MiB", float64(size)/mib, size, s.Limit/mib)
}

// weighed is a manifest and its size.
type weighed struct {
	digest string
	size   int64
}

// largest returns the largest image of a tree of manifests. Children that the
// repository does not hold are not promoted either.
func (s Size) largest(ctx context.Context, repo name.Repository, digest string, depth int) (weighed, error) {
	if depth > maxDepth {
		return weighed{}, fmt.Errorf("indexes nest deeper than %d", maxDepth)
	}
	content, err := s.Contents.Content(ctx, repo, digest)
	if err != nil {
		return weighed{}, err
	}
	if content == nil && depth == 0 {
		return weighed{}, fmt.Errorf("%s does not hold it", repo)
	}
	if content == nil {
		return weighed{}, nil
	}
	top := weighed{digest, content.Size}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, child := range content.Children {
		g.Go(func() error {
			w, err := s.largest(ctx, repo, child, depth+1)
			mu.Lock()
			defer mu.Unlock()
			if w.size > top.size || w.size == top.size && w.digest < top.digest {
				top = w
			}
			return err
		})
	}
	return top, g.Wait()
}
