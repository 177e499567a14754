package promote

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Transfer brings content into repositories outside of a plan, with the sharing,
// mounting and retrying of one: for what a producer makes.
type Transfer struct{ engine *engine }

// NewTransfer returns a Transfer.
func NewTransfer(c *registry.Client) *Transfer {
	return &Transfer{&engine{client: c, sources: NewSources(c, nil), blobs: newBlobs(c)}}
}

// Blob brings one blob from a repository that has it into another: mounted where
// the host does that, else copied. A session that stays unused is deleted.
func (t *Transfer) Blob(ctx context.Context, dst, from name.Repository, d v1.Descriptor) error {
	return t.engine.blobs.place(ctx, dst, from, d)
}

// Moved counts the blobs that were brought into a repository. One that was there is neither.
type Moved struct{ Mounted, Copied int }

func (b *blobs) count(dst name.Repository, m Moved) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved[dst] = Moved{b.moved[dst].Mounted + m.Mounted, b.moved[dst].Copied + m.Copied}
}

// Moved returns how many blobs were brought into a repository.
func (t *Transfer) Moved(dst name.Repository) Moved {
	t.engine.blobs.mu.Lock()
	defer t.engine.blobs.mu.Unlock()
	return t.engine.blobs.moved[dst]
}

// Upload puts a blob that was made, not read, into a repository.
func (t *Transfer) Upload(ctx context.Context, dst name.Repository, d v1.Descriptor, raw []byte) error {
	for try := 1; ; try++ {
		session, err := t.engine.client.Upload(ctx, dst)
		if err != nil {
			return fmt.Errorf("opening an upload for blob %s: %w", d.Digest.String(), err)
		}
		if err = session.Put(ctx, d, registry.BytesBody(raw)); err == nil {
			return nil
		}
		t.engine.blobs.drop(ctx, session)
		if ctx.Err() != nil || lastUpload(try, err) {
			return fmt.Errorf("uploading blob %s: %w", d.Digest.String(), err)
		}
		if err := t.engine.client.Pause(ctx, try); err != nil {
			return err
		}
	}
}

// Copy brings a manifest and everything below it into another repository, without a tag.
func (t *Transfer) Copy(ctx context.Context, dst, from name.Repository, digest v1.Hash) error {
	n, err := t.engine.sources.tree(ctx, from, digest.String())
	if err != nil {
		return err
	}
	if err := t.engine.child(ctx, dst, n); err != nil {
		return fmt.Errorf("copying %s to %s: %w", from.Digest(digest.String()).String(), dst, err)
	}
	return nil
}

// Put puts a manifest by digest.
func (t *Transfer) Put(ctx context.Context, dst name.Repository, m *registry.Manifest) error {
	return wrap(t.engine.put(ctx, dst, nil, m), "putting manifest")
}

// Tag puts a manifest under a tag and reads that back. may decides by what the tag points
// to, right before each try; at is empty if it does not exist.
func (t *Transfer) Tag(ctx context.Context, dst name.Repository, tag string, m *registry.Manifest, may func(at v1.Hash) error) error {
	res, err := t.engine.client.PutTag(ctx, dst, tag, m, may)
	if err == nil {
		err = stored(res, m.Digest.String())
	}
	if err != nil || res.There {
		return wrap(err, "putting manifest")
	}
	return writing{repo: dst, ref: tag, tag: tag, digest: m.Digest.String()}.check(ctx, t.engine.client)
}

// Check returns an error unless a manifest that was put by digest is there.
func (t *Transfer) Check(ctx context.Context, dst name.Repository, m *registry.Manifest) error {
	return writing{repo: dst, ref: m.Digest.String(), digest: m.Digest.String()}.check(ctx, t.engine.client)
}

// Close waits for what is under way, and returns what was left out.
func (t *Transfer) Close() (warnings []string, err error) {
	t.engine.blobs.running.Wait()
	return t.engine.warnings, t.engine.sources.Close()
}
