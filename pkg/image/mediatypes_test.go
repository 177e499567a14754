package image_test

import (
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestIsAttestation(t *testing.T) {
	t.Parallel()
	marked := map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	for name, tc := range map[string]struct {
		os, architecture string
		annotations      map[string]string
		want             bool
	}{
		"BuildKit's":           {"unknown", "unknown", marked, true},
		"without annotations":  {"unknown", "unknown", nil, true},
		"without a platform":   {"", "", marked, true},
		"an image":             {"linux", "amd64", map[string]string{"a": "b"}, false},
		"no platform":          {"", "", nil, false},
		"unknown architecture": {"linux", "unknown", nil, false},
	} {
		if got := image.IsAttestation(tc.os, tc.architecture, tc.annotations); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}
