package promote

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxImageConfig is the size of the largest config that is read for its platform, in bytes.
const maxImageConfig = 8 << 20

// Images implements check.PlatformReader.
func (r *RuleReader) Images(ctx context.Context, repo name.Repository, digest v1.Hash) ([]check.PlatformImage, error) {
	w := &imageWalk{reader: r, repo: repo, seen: map[v1.Hash]int{}}
	err := w.visit(ctx, v1.Descriptor{Digest: digest}, 0)
	return w.images, err
}

// imageWalk collects the images of a manifest.
type imageWalk struct {
	reader *RuleReader
	repo   name.Repository
	seen   map[v1.Hash]int // how deep in indexes a manifest was seen, at most
	images []check.PlatformImage
}

// visit adds the images of a manifest. d may have its platform.
//
// Indexes may contain each other in more ways than can be followed, so that a manifest is
// visited again only where it is nested deeper.
func (w *imageWalk) visit(ctx context.Context, d v1.Descriptor, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("indexes are nested more than %d deep", maxDepth)
	}
	before, again := w.seen[d.Digest]
	if again && before >= depth {
		return nil
	}
	w.seen[d.Digest] = depth
	content, err := w.reader.sources.below(ctx, w.repo, d.Digest.String())
	switch {
	case err == nil && content == nil && depth == 0:
		return fmt.Errorf("%s does not hold it", w.repo)
	case err != nil || content == nil: // a child that is lacking is not promoted
		return err
	case !content.Index && !again:
		im := check.PlatformImage{Digest: d.Digest}
		if d.Platform != nil {
			im.Platform = *d.Platform
		}
		w.images = append(w.images, im)
	}
	for _, child := range content.Children {
		p := cmp.Or(child.Platform, &v1.Platform{})
		if image.IsAttestation(p.OS, p.Architecture, child.Annotations) {
			continue
		}
		if err := w.visit(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Platform implements check.PlatformReader.
func (r *RuleReader) Platform(ctx context.Context, repo name.Repository, digest v1.Hash) (v1.Platform, error) {
	content, err := r.sources.below(ctx, repo, digest.String())
	if err != nil || content == nil {
		return v1.Platform{}, err
	}
	i := slices.IndexFunc(content.Blobs, func(b v1.Descriptor) bool { return b.MediaType.IsConfig() })
	if i < 0 {
		return v1.Platform{}, nil // an artifact
	}
	config := content.Blobs[i]
	if config.Size > maxImageConfig {
		return v1.Platform{}, fmt.Errorf("the config is larger than %d MiB", maxImageConfig>>20)
	}
	p, err := r.configs.Do(ctx, config.Digest.String(), func() (v1.Platform, error) { return r.platform(ctx, repo, config) })
	if err != nil {
		return v1.Platform{}, fmt.Errorf("reading the config of %s: %w", repo.Digest(digest.String()), err)
	}
	return p, nil
}

// platform returns the platform in a config, from the first candidate that serves it.
func (r *RuleReader) platform(ctx context.Context, repo name.Repository, config v1.Descriptor) (p v1.Platform, err error) {
	for _, at := range r.sources.candidates(repo) {
		var raw bytes.Buffer
		if err = r.client.FetchBlob(ctx, at, config, &raw); err != nil {
			continue
		}
		var read struct {
			OS           string `json:"os"`
			Architecture string `json:"architecture"`
			Variant      string `json:"variant"`
		}
		err = strictjson.Unmarshal(raw.Bytes(), &read)
		return v1.Platform{OS: read.OS, Architecture: read.Architecture, Variant: read.Variant}, err
	}
	return p, err
}

// SourceTag implements check.TagReader.
func (r *RuleReader) SourceTag(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State) {
	at := r.sources.head(ctx, plan.SourceTag{Repository: repo, Tag: tag})
	return at.Digest, at.State
}
