package promote

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// Writer writes content that does not come from a plan: images that were just made.
// It shares, mounts and retries as a promotion does.
type Writer struct{ engine *engine }

// NewWriter returns a Writer, which the caller must Close.
func NewWriter(c *registry.Client) *Writer {
	s := newSources(c, nil)
	e := newEngine(c, s, 1)
	s.warn = e.warn
	return &Writer{e}
}

// Blob brings a blob from a repository that holds it into another one.
func (w *Writer) Blob(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	return w.engine.blobs.Place(ctx, dst, from, d)
}

// Moved returns how many blobs were brought into a repository.
func (w *Writer) Moved(dst name.Repository) transfer.Moved { return w.engine.blobs.Moved(dst) }

// Upload puts a newly made blob into a repository.
func (w *Writer) Upload(ctx context.Context, dst name.Repository, d v1.Descriptor, raw []byte) error {
	return w.engine.blobs.SendNew(ctx, dst, d, raw)
}

// Copy brings a manifest and everything below it into another repository, without a tag.
func (w *Writer) Copy(ctx context.Context, dst, from name.Repository, digest v1.Hash) error {
	n, err := w.engine.sources.tree(ctx, from, digest.String())
	if err != nil {
		return err
	}
	if err := w.engine.child(ctx, dst, n); err != nil {
		return fmt.Errorf("copying %s to %s: %w", from.Digest(digest.String()).String(), dst, err)
	}
	return nil
}

// Put puts a manifest by digest.
func (w *Writer) Put(ctx context.Context, dst name.Repository, m *registry.Manifest) error {
	return wrap(w.engine.put(ctx, dst, nil, m), "putting manifest")
}

// Tag puts a manifest under a tag and reads the tag back. Right before each try, may
// gets the digest that the tag points to, or the zero value if there is no such tag,
// and refuses the write with an error.
func (w *Writer) Tag(ctx context.Context, dst name.Repository, tag string, m *registry.Manifest, may func(at v1.Hash) error) error {
	res, err := w.engine.client.PutTag(ctx, dst, tag, m, may)
	if err == nil {
		err = res.Stored(m.Digest)
	}
	if err != nil || res.There {
		return wrap(err, "putting manifest")
	}
	return w.confirm(ctx, writing{repo: dst, ref: tag, tag: tag, digest: m.Digest.String()})
}

// Check returns an error unless the repository has a manifest that was put by digest.
func (w *Writer) Check(ctx context.Context, dst name.Repository, m *registry.Manifest) error {
	return w.confirm(ctx, writing{repo: dst, ref: m.Digest.String(), digest: m.Digest.String()})
}

// confirm reads back what was put. After an interrupt the answer to the PUT counts.
func (w *Writer) confirm(ctx context.Context, put writing) error {
	err := put.check(ctx, w.engine.client)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Close waits for running copies. The warnings name content that was left out.
func (w *Writer) Close() (warnings []string, err error) {
	w.engine.blobs.Wait()
	return w.engine.warnings, w.engine.sources.close()
}
