package evidence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// place is an image in a repository.
type place struct {
	repo   name.Repository
	digest v1.Hash
}

// Gather reads the evidence about an image: its attestations and, if it is an index, those
// of its platforms. It reads them once.
//
// Predicates are kept of provenance only: others are not judged, and may be large.
func (r *Reader) Gather(ctx context.Context, repo name.Repository, digest v1.Hash) *provenance.Evidence {
	e, err := r.images.Do(ctx, place{repo, digest}, func() (*provenance.Evidence, error) {
		e := &provenance.Evidence{Repository: repo, Digest: digest}
		return e, r.gather(ctx, e)
	})
	if err != nil {
		return &provenance.Evidence{Repository: repo, Digest: digest, Err: err}
	}
	return e
}

func (r *Reader) gather(ctx context.Context, e *provenance.Evidence) error {
	content, err := r.from.Below(ctx, e.Repository, e.Digest.String())
	if err != nil {
		return fmt.Errorf("reading the image: %w", err)
	}
	if content == nil {
		return errors.New("the image does not exist")
	}
	e.Index = content.Index
	for _, child := range content.Children {
		if IsPlatform(child) {
			e.Platforms = append(e.Platforms, provenance.Evidence{Repository: e.Repository, Digest: child.Digest, Index: child.MediaType.IsIndex()})
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	g.Go(func() error { return r.attestationsOf(ctx, e) })
	for i := range e.Platforms {
		g.Go(func() error { return r.attestationsOf(ctx, &e.Platforms[i]) })
	}
	return g.Wait()
}

// attestationsOf reads what is attached to one digest, once: a platform may be an image of
// its own, and belong to several indexes.
func (r *Reader) attestationsOf(ctx context.Context, e *provenance.Evidence) error {
	found, err := r.digests.Do(ctx, place{e.Repository, e.Digest}, func() (*attached, error) {
		return r.attached(ctx, e.Repository, e.Digest, "")
	})
	if err != nil {
		return err
	}
	e.Attestations, e.Notes = found.attestations, found.notes
	return nil
}

// What BuildKit says of a manifest with its attestations, which is not signed.
const (
	referenceType       = "vnd.docker.reference.type"
	attestationManifest = "attestation-manifest"
	unknown             = "unknown" // operating system and architecture
)

// IsPlatform reports whether a child of an index is an image for a platform.
//
// All images and indexes are, except attestations of BuildKit. Those have an annotation
// and no platform. An image that has only one of the two might run, so it counts.
func IsPlatform(d v1.Descriptor) bool {
	if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
		return false
	}
	buildKit := d.Annotations[referenceType] == attestationManifest &&
		d.Platform != nil && d.Platform.OS == unknown && d.Platform.Architecture == unknown
	return !buildKit
}
