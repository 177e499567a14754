package image_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func TestAttached(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]struct {
		subject image.Digest
		suffix  string
		ok      bool
	}{
		"sha256-" + hex:                  {image.Digest("sha256:" + hex), "", true},
		"sha256-" + hex + ".sig":         {image.Digest("sha256:" + hex), ".sig", true},
		"sha256-" + hex + ".att":         {image.Digest("sha256:" + hex), ".att", true},
		"sha256-" + hex + ".sbom":        {image.Digest("sha256:" + hex), ".sbom", true},
		"sha256-" + hex + ".x.sig":       {image.Digest("sha256:" + hex), ".x.sig", true},
		"sha256-" + hex + "0":            {image.Digest("sha256:" + hex), "0", true},
		"sha512-" + hex:                  {"", "", true},
		"sha512-" + hex + ".sig":         {"", ".sig", true},
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
			t.Errorf("%q: %q %q %v", tag, subject, suffix, ok)
		}
	}
}
