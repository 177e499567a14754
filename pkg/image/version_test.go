package image_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestCompareTags(t *testing.T) {
	t.Parallel()
	want := []string{"20240101-v1", "latest", "v1", "0.9.0", "v1.2.0-rc.1", "1.2.0", "v1.2.0", "v1.10.0", "v2024.05.01"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, image.CompareTags)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, tag := range want {
		if c := image.CompareTags(tag, tag); c != 0 {
			t.Errorf("%s and itself: got %d, want 0", tag, c)
		}
	}
}

const digits = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"

func TestIsAttached(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{
		"sha256-" + digits: true, "sha256-" + digits + ".sig": true, "v1.0.0.sig": true, "v1.0.0.att": true, "v1.0.0.sbom": true,
		"v1.0.0": false, "sha256-x": false, "sig": false,
	} {
		if got := image.IsAttached(tag); got != want {
			t.Errorf("%s: got %v, want %v", tag, got, want)
		}
	}
}
