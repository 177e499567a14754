package check

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Contents reads the contents of image manifests.
type Contents interface {
	// Content returns the content of an image manifest, or nil if the repository does not have it.
	Content(ctx context.Context, repo name.Repository, digest string) (*Content, error)
	// BlobSize returns the size in bytes that the registry reports for a blob.
	BlobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error)
}

// Content is what an image manifest refers to.
type Content struct {
	Blobs    []v1.Descriptor // config and layers, each once
	Children []v1.Descriptor // an index's manifests
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
	w := &weighing{contents: s.Contents, repo: im.From, seen: map[string]int{}}
	err := w.visit(ctx, im.Digest.String(), 0)
	switch {
	case err != nil:
		return []Finding{im.unread(fmt.Sprintf("reading the size of %s: %v", im.Ref(), err), err)}
	case w.wrong != "":
		found = append(found, im.finding(Error, im.Ref()+": "+w.wrong))
	}
	switch {
	case w.size <= s.Limit:
		return found
	case w.largest != im.Digest.String():
		return append(found, im.finding(Error, fmt.Sprintf("%s: its largest image, %s, has %s", im.Ref(), w.largest, s.over(w.size))))
	}
	return append(found, im.finding(Error, fmt.Sprintf("%s has %s", im.Ref(), s.over(w.size))))
}

func (s Size) over(size int64) string {
	const mib = 1 << 20
	return fmt.Sprintf("%.1f MiB (%d bytes): the limit is %d MiB", float64(size)/mib, size, s.Limit/mib)
}

// weighing finds the largest image of a tree of manifests.
type weighing struct {
	contents Contents
	repo     name.Repository

	mu      sync.Mutex
	seen    map[string]int // how deep in indexes a manifest was seen, at most
	largest string         // its digest
	size    int64          // the sum of the sizes of all blobs of the largest
	wrong   string         // a blob of any manifest whose size is not the declared one
}

// visit weighs a manifest and those below it. It ignores children that the repository
// does not have, because they are not promoted.
//
// Indexes may contain each other in more ways than can be followed, so that a manifest is
// visited again only where it is nested deeper.
func (w *weighing) visit(ctx context.Context, digest string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("indexes nest deeper than %d", maxDepth)
	}
	if !w.enter(digest, depth) {
		return nil
	}
	content, err := w.contents.Content(ctx, w.repo, digest)
	if err != nil {
		return err
	}
	if content == nil && depth == 0 {
		return fmt.Errorf("%s does not hold it", w.repo)
	}
	if content == nil {
		return nil
	}
	if err := w.weigh(ctx, digest, content.Blobs); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, child := range content.Children {
		g.Go(func() error { return w.visit(ctx, image.DigestString(child.Digest), depth+1) })
	}
	return g.Wait()
}

// enter reports whether a manifest has not been seen at this depth or deeper.
func (w *weighing) enter(digest string, depth int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, seen := w.seen[digest]; seen && before >= depth {
		return false
	}
	w.seen[digest] = depth
	return true
}

// weigh adds the sizes of all blobs of a manifest.
func (w *weighing) weigh(ctx context.Context, digest string, blobs []v1.Descriptor) error {
	sizes := make([]int64, len(blobs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, b := range blobs {
		g.Go(func() (err error) {
			if sizes[i], err = w.contents.BlobSize(ctx, w.repo, b); err != nil {
				return fmt.Errorf("blob %s: %w", image.DigestString(b.Digest), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	size, wrong := int64(0), ""
	for i, b := range blobs {
		size += sizes[i]
		if sizes[i] != b.Size && wrong == "" {
			wrong = fmt.Sprintf("blob %s has %d bytes, not the %d that %s declares", image.DigestString(b.Digest), sizes[i], b.Size, digest)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = first(w.wrong, wrong)
	if w.largest == "" || size > w.size || size == w.size && digest < w.largest {
		w.largest, w.size = digest, size
	}
	return nil
}

// first returns the smaller text, ignoring an empty one.
func first(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}
