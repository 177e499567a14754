package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// TagReader reads tags of sources.
type TagReader interface {
	// SourceTag returns the digest of a tag, and whether it could be read.
	SourceTag(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State)
}

// Platforms finds images that lack a required platform. A note says where one platform is
// promoted although the source has an index with it under the same tag.
type Platforms struct {
	Required []v1.Platform
	Images   PlatformReader
	Tags     TagReader
}

// ParsePlatforms parses platforms such as linux/arm64.
func ParsePlatforms(texts []string) ([]v1.Platform, error) {
	var all []v1.Platform
	for _, text := range texts {
		p, err := v1.ParsePlatform(text)
		if err == nil && (p.OS == "" || p.Architecture == "" || strings.Count(text, "/") > 2) {
			err = errors.New("want OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64")
		}
		if err != nil {
			return nil, fmt.Errorf("bad platform %q: %w", text, err)
		}
		all = append(all, *p)
	}
	return all, nil
}

// Describe implements Rule.
func (Platforms) Describe() Description {
	return Description{"platforms", "an image about to be promoted lacks a required platform", Registries}
}

// Check implements Rule.
func (p Platforms) Check(ctx context.Context, in *Input) []Finding {
	return each(ctx, in.Images, p.judge)
}

func (p Platforms) judge(ctx context.Context, im Image) []Finding {
	images, err := p.Images.Images(ctx, im.From, im.Digest)
	if err != nil {
		return p.unread(im, err)
	}
	single := len(images) == 1 && images[0].Digest == im.Digest
	if len(p.Required) > 0 {
		for i := range images {
			if images[i].Platform.Architecture == "" {
				if images[i].Platform, err = p.Images.Platform(ctx, im.From, images[i].Digest); err != nil {
					return p.unread(im, err)
				}
			}
		}
	}
	var found []Finding
	if single {
		found = p.whole(ctx, im)
	}
	if single && images[0].Platform.Architecture == "" { // an artifact, which has no platform
		return found
	}
	var lacks []string
	for _, want := range p.Required {
		if !slices.ContainsFunc(images, func(have PlatformImage) bool { return satisfies(have.Platform, want) }) {
			lacks = append(lacks, want.String())
		}
	}
	if len(lacks) > 0 {
		found = append(found, im.finding(Error, fmt.Sprintf("%s lacks %s: it has %s", im.Ref(), strings.Join(lacks, ", "), platformList(images))))
	}
	return found
}

// unread returns a finding if platforms are required. A note is not worth one.
func (p Platforms) unread(im Image, err error) []Finding {
	if len(p.Required) == 0 {
		return nil
	}
	return []Finding{im.unread(fmt.Sprintf("reading the platforms of %s: %v", im.Ref(), err), err)}
}

// whole returns a note if the source has, under a wanted tag, an index with the image.
func (p Platforms) whole(ctx context.Context, im Image) []Finding {
	for _, tag := range im.Tags {
		index, state := p.Tags.SourceTag(ctx, im.Source, tag)
		if state != inventory.Present || index == im.Digest {
			continue
		}
		images, err := p.Images.Images(ctx, im.Source, index)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(images, func(have PlatformImage) bool { return have.Digest == im.Digest })
		if i < 0 {
			continue
		}
		return []Finding{im.finding(Note, fmt.Sprintf("%s is only %s of the index %s, which tag %s has at the source: promote the index for all platforms (%s)",
			im.Ref(), platformText(images[i].Platform), index, tag, platformList(images)))}
	}
	return nil
}

// satisfies reports whether an image is for a platform. A required platform without a
// variant accepts all of them.
func satisfies(have, want v1.Platform) bool {
	return have.OS == want.OS && have.Architecture == want.Architecture && (want.Variant == "" || variant(have) == variant(want))
}

// variant returns the variant of a platform, or the one that is meant if it has none.
func variant(p v1.Platform) string {
	if p.Variant != "" {
		return p.Variant
	}
	return map[string]string{"arm64": "v8", "arm": "v7", "amd64": "v1"}[p.Architecture]
}

func platformText(p v1.Platform) string {
	if text := p.String(); text != "" {
		return text
	}
	return "an unknown platform"
}

// platformList names the platforms of images, each once.
func platformList(images []PlatformImage) string {
	var names []string
	for _, im := range images {
		if text := platformText(im.Platform); !slices.Contains(names, text) {
			names = append(names, text)
		}
	}
	if names == nil {
		return "no images"
	}
	return strings.Join(names, ", ")
}
