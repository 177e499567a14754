package image_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestAttached(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]struct {
		subject v1.Hash
		suffix  string
		ok      bool
	}{
		"sha256-" + hex:                  {image.Hash("sha256:" + hex), "", true},
		"sha256-" + hex + ".sig":         {image.Hash("sha256:" + hex), ".sig", true},
		"sha256-" + hex + ".att":         {image.Hash("sha256:" + hex), ".att", true},
		"sha256-" + hex + ".sbom":        {image.Hash("sha256:" + hex), ".sbom", true},
		"sha256-" + hex + ".x.sig":       {image.Hash("sha256:" + hex), ".x.sig", true},
		"sha256-" + hex + "0":            {image.Hash("sha256:" + hex), "0", true},
		"sha512-" + hex:                  {v1.Hash{}, "", true},
		"sha512-" + hex + ".sig":         {v1.Hash{}, ".sig", true},
		"sha256-" + hex[1:]:              {},
		"sha256-" + hex[1:] + "A":        {},
		"sha256-" + hex[1:] + ".sig":     {},
		"sha384-" + hex:                  {},
		"x-sha256-" + hex:                {},
		"sha256:" + hex:                  {},
		"v1.sig":                         {},
		"sha256":                         {},
		"":                               {},
		strings.ToUpper("sha256-" + hex): {},
	} {
		subject, suffix, ok := image.Attached(tag)
		if subject != want.subject || suffix != want.suffix || ok != want.ok {
			t.Errorf("%q: got %q %q %v, want %q %q %v", tag, subject, suffix, ok, want.subject, want.suffix, want.ok)
		}
	}
}
