package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// Evidence reads evidence about images.
type Evidence interface {
	// Gather returns the evidence of a digest in a repository. It reads it once.
	Gather(ctx context.Context, repo name.Repository, digest v1.Hash) *provenance.Evidence
}

// Provenance finds images that do not satisfy the policies that bind them.
//
// The evidence is read in the source repository, wherever else the image is. Nothing is
// read of images that no policy binds.
type Provenance struct {
	Evidence Evidence
	Base     *manifest.Set // what digests that policies bind there are judged again if the policies differ; nil: no base is known
}

// Describe implements Rule.
func (Provenance) Describe() Description {
	return Description{"provenance", "an image about to be promoted does not satisfy a policy", Registries}
}

// Check implements Rule.
func (p Provenance) Check(ctx context.Context, in *Input) []Finding {
	policies := in.Set.Policies()
	bound := in.perSource(func(source name.Repository) bool { return len(policies.Of(source)) > 0 })
	found := each(ctx, bound, func(ctx context.Context, im Image) []Finding {
		return p.judge(ctx, im, policies.Of(im.Source))
	})
	c := p.changes(policies)
	for i := range found {
		f := &found[i]
		f.New = c.in(f.Image.Source) && !Bad(p.judge(ctx, f.Image, c.before.Of(f.Image.Source)))
	}
	return append(found, p.preview(ctx, in, c, found)...)
}

// judge returns a finding for each policy that an image does not satisfy.
func (p Provenance) judge(ctx context.Context, im Image, bound []provenance.Bound) []Finding {
	e := p.Evidence.Gather(ctx, im.Source, im.Digest)
	var found []Finding
	for _, b := range bound {
		r := provenance.Judge(b, e)
		if len(r.Violations) == 0 {
			continue
		}
		f := im.finding(Error, fmt.Sprintf("%s does not satisfy the policy at %s: %s", im.sourceRef(), b.Pos, strings.Join(r.Violations, "; ")))
		f.Retryable = errors.Is(e.Err, inventory.ErrRetryable)
		if b.Mode == provenance.Warn {
			f.Level, f.Warning = Note, true
		}
		found = append(found, f)
	}
	return found
}

// sourceRef returns the reference of the image in its source.
func (im *Image) sourceRef() string { return im.Source.Digest(im.Digest.String()).String() }

// perSource returns the images about to be promoted from some sources, one for each source
// repository and digest. A digest may be promoted from several repositories.
func (in *Input) perSource(judged func(source name.Repository) bool) []Image {
	if in.Plan == nil {
		return nil
	}
	var images []Image
	at := map[sourceDigest]int{} // index in images; -1: it is not judged
	for it := range in.writes() {
		for _, source := range it.sources {
			key := sourceDigest{source, it.Digest}
			i, ok := at[key]
			if !ok {
				i = -1
				if judged(source) {
					i = len(images)
					images = append(images, in.about(it.Group))
					images[i].Source, images[i].From = source, source
					images[i].Destinations, images[i].Tags = nil, nil
				}
				at[key] = i
			}
			if i >= 0 {
				images[i].Destinations = append(images[i].Destinations, it.Destination)
				images[i].Tags = append(images[i].Tags, it.Tags...)
			}
		}
	}
	for i := range images {
		images[i].sort()
	}
	return images
}

// sourceDigest is a digest in a source repository.
type sourceDigest struct {
	source name.Repository
	digest v1.Hash
}
