package check

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"
)

// Contents reads the contents of image manifests.
type Contents interface {
	// Content returns the content of an image manifest, or nil if the repository does not have it.
	Content(ctx context.Context, repo name.Repository, digest string) (*Content, error)
	// BlobSize returns the size in bytes that the registry reports for a blob.
	BlobSize(ctx context.Context, repo name.Repository, b Blob) (int64, error)
}

// Content lists the blobs and children of an image manifest.
type Content struct {
	Blobs    []Blob   // config and layers, each once
	Children []string // digests of an index's manifests
}

// Blob is the descriptor of a config or layer in an image manifest.
type Blob struct {
	Digest  string
	Size    int64 // as the manifest declares it
	Foreign bool  // the registry need not hold it
}

// maxDepth is the maximum depth of nested indexes, as in a promotion.
const maxDepth = 8

// Size finds images that are too large or that declare wrong sizes of blobs. A promotion
// does not notice wrong sizes if it mounts the blobs.
type Size struct {
	Limit    int64 // bytes
	Contents Contents
}

// Describe implements Rule.
func (Size) Describe() Description {
	return Description{"size", "an image about to be promoted is over the size limit, or declares sizes that it does not have", Registries}
}

// Check implements Rule.
func (s Size) Check(ctx context.Context, in *Input) []Finding {
	return each(ctx, in.Images, s.judge)
}

func (s Size) judge(ctx context.Context, im Image) (found []Finding) {
	top, err := s.largest(ctx, im.From, im.Digest.String(), 0)
	switch {
	case err != nil:
		return []Finding{im.unread(fmt.Sprintf("reading the size of %s: %v", im.Ref(), err), err)}
	case top.wrong != "":
		found = append(found, im.finding(Error, im.Ref()+": "+top.wrong))
	}
	switch {
	case top.size <= s.Limit:
		return found
	case top.digest != im.Digest.String():
		return append(found, im.finding(Error, fmt.Sprintf("%s: its largest image, %s, has %s", im.Ref(), top.digest, s.over(top.size))))
	}
	return append(found, im.finding(Error, fmt.Sprintf("%s has %s", im.Ref(), s.over(top.size))))
}

func (s Size) over(size int64) string {
	const mib = 1 << 20
	return fmt.Sprintf("%.1f MiB (%d bytes): the limit is %d MiB", float64(size)/mib, size, s.Limit/mib)
}

// weighed is an image manifest with its size.
type weighed struct {
	digest string
	size   int64
	wrong  string // a blob below it whose size is not the declared one
}

// weigh returns the sum of the sizes of all blobs of a manifest.
func (s Size) weigh(ctx context.Context, repo name.Repository, digest string, content *Content) (weighed, error) {
	sizes := make([]int64, len(content.Blobs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, b := range content.Blobs {
		g.Go(func() (err error) {
			if sizes[i], err = s.Contents.BlobSize(ctx, repo, b); err != nil {
				return fmt.Errorf("blob %s: %w", b.Digest, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return weighed{}, err
	}
	w := weighed{digest: digest}
	for i, b := range content.Blobs {
		w.size += sizes[i]
		if sizes[i] != b.Size && w.wrong == "" {
			w.wrong = fmt.Sprintf("blob %s has %d bytes, not the %d that %s declares", b.Digest, sizes[i], b.Size, digest)
		}
	}
	return w, nil
}

// largest returns the largest image of a tree of manifests. It ignores children that the
// repository does not have, because they are not promoted.
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
	top, err := s.weigh(ctx, repo, digest, content)
	if err != nil {
		return weighed{}, err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, child := range content.Children {
		g.Go(func() error {
			w, err := s.largest(ctx, repo, child, depth+1)
			mu.Lock()
			defer mu.Unlock()
			wrong := first(top.wrong, w.wrong)
			if w.size > top.size || w.size == top.size && w.digest < top.digest {
				top = w
			}
			top.wrong = wrong
			return err
		})
	}
	return top, g.Wait()
}

// first returns the smaller text, ignoring an empty one.
func first(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}
