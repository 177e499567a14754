package promote

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// content brings the content of a unit into the repository, except its manifest, which
// it returns.
func (e *engine) content(ctx context.Context, u *unit) (*registry.Manifest, error) {
	if u.copied == (name.Repository{}) {
		return e.held(ctx, u)
	}
	if err := e.below(ctx, u.dst, u.tree); err != nil {
		return nil, err
	}
	return e.sources.manifest(u.tree.loaded)
}

// held returns the manifest of a digest at the destination.
func (e *engine) held(ctx context.Context, u *unit) (*registry.Manifest, error) {
	if known := e.sources.kept(u.digest); known != nil {
		return e.sources.manifest(known)
	}
	m, err := e.client.Manifest(ctx, u.dst, u.digest)
	return m, wrap(err, "reading the manifest from the destination")
}

// below brings a manifest's blobs, and puts its children.
func (e *engine) below(ctx context.Context, dst name.Repository, n *node) error {
	var g errgroup.Group // without a context: other images may wait for a blob that a failure would stop
	g.SetLimit(e.parts)
	for _, d := range n.content.Blobs {
		g.Go(func() error { return e.blob(ctx, dst, n, d) })
	}
	for _, child := range n.children {
		g.Go(func() error { return e.child(ctx, dst, child) })
	}
	if len(n.missing) > 0 {
		g.Go(func() error { return e.sparse(ctx, dst, n) })
	}
	return g.Wait()
}

// blob brings one blob from the repository that its manifest was read from. If the blob
// cannot be read there, the other candidates are tried. A foreign layer that no source
// serves is left out.
func (e *engine) blob(ctx context.Context, dst name.Repository, n *node, d v1.Descriptor) error {
	var err error
	for i, from := range n.from {
		next := e.blobs.Place(ctx, dst, from, d)
		if next == nil && i > 0 {
			e.sources.passOver("source", n.from[0], err)
		}
		if next == nil {
			return nil
		}
		if i == 0 || !errors.Is(next, registry.ErrNotFound) {
			err = next // the error of the first candidate explains more than a 404 of another
		}
		if !transfer.IsUnread(next) || ctx.Err() != nil {
			break
		}
	}
	if registry.IsForeign(d) && errors.Is(err, registry.ErrNotFound) {
		e.warn(fmt.Sprintf("%s: foreign layer %s is left out: the source %s does not serve it", dst.String()+"@"+n.digest, d.Digest.String(), n.from[0]))
		return nil
	}
	return err
}

// sparse warns of the children that neither source nor destination has. The index is put
// without them.
func (e *engine) sparse(ctx context.Context, dst name.Repository, n *node) error {
	there := make([]inventory.State, len(n.missing))
	var g errgroup.Group
	g.SetLimit(32)
	for i, digest := range n.missing {
		g.Go(func() (err error) {
			there[i], err = e.client.Has(ctx, dst, digest)
			return wrap(err, "looking for child %s", digest)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var lost []string
	for i, digest := range n.missing {
		if there[i] != inventory.Present {
			lost = append(lost, digest.String())
		}
	}
	head := fmt.Sprintf("%s@%s: the source %s lacks", dst, n.digest, n.from[0])
	switch len(lost) {
	case 0:
	case 1:
		e.warn(fmt.Sprintf("%s the child %s: the index is promoted without it", head, lost[0]))
	default:
		e.warn(fmt.Sprintf("%s %d children, %s among them: the index is promoted without them", head, len(lost), lost[0]))
	}
	return nil
}

// child brings the content of a manifest and puts it by digest, once in a run.
func (e *engine) child(ctx context.Context, dst name.Repository, n *node) error {
	return e.manifests.Do(ctx, repoDigest{dst, n.digest}, func() error {
		if err := e.below(ctx, dst, n); err != nil {
			return err
		}
		m, err := e.sources.manifest(n.loaded)
		if err != nil {
			return err
		}
		return wrap(e.put(ctx, dst, n, m), "putting manifest %s", n.digest)
	})
}

// put puts a manifest by digest.
func (e *engine) put(ctx context.Context, dst name.Repository, n *node, m *registry.Manifest) error {
	return e.restoring(ctx, dst, n, func() error {
		res, err := e.client.Put(ctx, dst, m.Digest, m)
		if err != nil {
			return err
		}
		return res.Stored(m.Digest)
	})
}

// restoring runs a manifest PUT. If the registry answers that content is missing, it
// brings the content again and repeats the PUT. A garbage collection can run between
// the blobs and the manifest. A registry can also say that it holds a blob, or mount
// it, although its storage has lost it, so the last try sends the blobs without asking.
func (e *engine) restoring(ctx context.Context, dst name.Repository, n *node, put func() error) error {
	for try := 1; ; try++ {
		err := put()
		if err == nil && n != nil {
			e.blobs.Commit(dst, n.content.Blobs)
		}
		if err == nil || n == nil || try == registry.PutTries || !registry.IsContentMissing(err, n.digests()) {
			return err
		}
		for _, d := range n.content.Blobs {
			if try > 1 {
				e.blobs.Distrust(dst, d.Digest.String())
			}
			e.blobs.Forget(dst, d)
		}
		for _, c := range n.children {
			e.manifests.Forget(repoDigest{dst, c.digest})
		}
		if err := e.client.Pause(ctx, try); err != nil {
			return err
		}
		if again := e.below(ctx, dst, n); again != nil {
			return errors.Join(err, again)
		}
	}
}

// digests returns what the manifest of n refers to: its blobs and children.
func (n *node) digests() []string {
	var all []string
	for _, d := range n.content.Blobs {
		all = append(all, d.Digest.String())
	}
	for _, c := range n.children {
		all = append(all, c.digest)
	}
	return all
}
