package promote

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// maxImageConfig is the size of the largest config that is read for its platform, in bytes.
const maxImageConfig = 8 << 20

// Images implements check.PlatformReader.
func (r *RuleReader) Images(ctx context.Context, repo name.Repository, digest v1.Hash) ([]check.PlatformImage, error) {
	return r.images(ctx, repo, v1.Descriptor{Digest: digest}, 0)
}

// images returns the images of a manifest. d may have its platform.
func (r *RuleReader) images(ctx context.Context, repo name.Repository, d v1.Descriptor, depth int) ([]check.PlatformImage, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("indexes are nested more than %d deep", maxDepth)
	}
	content, err := r.sources.below(ctx, repo, d.Digest.String())
	switch {
	case err == nil && content == nil && depth == 0:
		return nil, fmt.Errorf("%s does not hold it", repo)
	case err != nil || content == nil: // a child that is lacking is not promoted
		return nil, err
	case !content.Index:
		im := check.PlatformImage{Digest: d.Digest}
		if d.Platform != nil {
			im.Platform = *d.Platform
		}
		return []check.PlatformImage{im}, nil
	}
	var all []check.PlatformImage
	for _, child := range content.Children {
		if isAttestation(child) {
			continue
		}
		found, err := r.images(ctx, repo, child, depth+1)
		if err != nil {
			return nil, err
		}
		for _, im := range found {
			if !slices.ContainsFunc(all, func(have check.PlatformImage) bool { return have.Digest == im.Digest }) {
				all = append(all, im)
			}
		}
	}
	return all, nil
}

// isAttestation reports whether a child of an index describes another child, as BuildKit
// writes it.
func isAttestation(d v1.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" ||
		d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
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
