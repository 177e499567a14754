package check_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// sourceTags are digests by tag, in every repository.
type sourceTags map[string]string

func (s sourceTags) SourceTag(_ context.Context, _ name.Repository, tag string) (v1.Hash, inventory.State) {
	digest, ok := s[tag]
	if !ok {
		return v1.Hash{}, inventory.Absent
	}
	return image.Hash(digest), inventory.Present
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	on := func(digest, platform string) check.PlatformImage {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		return check.PlatformImage{Digest: image.Hash(digest), Platform: *p}
	}
	index := []check.PlatformImage{on(digestB, "linux/amd64"), on(digestC, "linux/arm64/v8")}
	alone := images{digestA: {on(digestA, "linux/amd64")}, digestB: append([]check.PlatformImage{on(digestA, "linux/amd64")}, index...)}
	const note = "m.yaml:8 note staging/apple@(a) is only linux/amd64 of the index (b), which tag 1.0 has at the source: promote the index for all platforms (linux/amd64, linux/arm64/v8)\n"
	tests := map[string]struct {
		required []string
		images   images
		tags     sourceTags
		want     string
	}{
		"all":                      {[]string{"linux/amd64", "linux/arm64"}, images{digestA: index}, nil, ""},
		"the default variant":      {[]string{"linux/arm64/v8"}, images{digestA: {on(digestB, "linux/arm64")}}, nil, ""},
		"another variant":          {[]string{"linux/arm/v6"}, images{digestA: {on(digestB, "linux/arm")}}, nil, "m.yaml:8 error staging/apple@(a) lacks linux/arm/v6: it has linux/arm\n"},
		"lacks two":                {[]string{"linux/amd64", "linux/s390x", "windows/amd64"}, images{digestA: index}, nil, "m.yaml:8 error staging/apple@(a) lacks linux/s390x, windows/amd64: it has linux/amd64, linux/arm64/v8\n"},
		"an empty index":           {[]string{"linux/amd64"}, images{digestA: nil}, nil, "m.yaml:8 error staging/apple@(a) lacks linux/amd64: it has no images\n"},
		"its config":               {[]string{"linux/arm64"}, images{digestA: {on(digestA, "linux/amd64")}}, nil, "m.yaml:8 error staging/apple@(a) lacks linux/arm64: it has linux/amd64\n"},
		"an artifact":              {[]string{"linux/arm64"}, images{digestA: {on(digestA, "")}}, nil, ""},
		"unread":                   {[]string{"linux/arm64"}, images{}, nil, "m.yaml:8 failed reading the platforms of staging/apple@(a): 401\n"},
		"unread, nothing required": {nil, images{}, nil, ""},
		"of an index":              {nil, alone, sourceTags{"1.0": digestB}, note},
		"of an index, required":    {[]string{"linux/amd64"}, alone, sourceTags{"1.0": digestB}, note},
		"of no index":              {nil, alone, sourceTags{"1.0": digestA}, ""},
		"another index":            {nil, images{digestA: alone[digestA], digestB: index}, sourceTags{"1.0": digestB}, ""},
		"no such tag":              {nil, alone, nil, ""},
		"an unread index":          {nil, images{digestA: alone[digestA]}, sourceTags{"1.0": digestB}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			required, err := check.ParsePlatforms(tc.required)
			if err != nil {
				t.Fatal(err)
			}
			rule := check.Platforms{Required: required, Images: tc.images, Tags: tc.tags}
			in := input(set(t, plain(apples)), item(plan.Copy, "prod/apple", digestA, "1.0"), item(plan.Copy, "eu/apple", digestA, "1.0"))
			if diff := cmp.Diff(tc.want, lines(check.Run(t.Context(), []check.Rule{rule}, in))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
	for _, text := range []string{"", "linux", "/amd64", "linux/", "linux/arm/v7/x"} {
		if _, err := check.ParsePlatforms([]string{text}); err == nil {
			t.Errorf("%q: got no error, want one", text)
		}
	}
}
