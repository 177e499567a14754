package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// BenchmarkEdit adds six tags to a digest in the middle of a list of 2,000, and a
// name to its end: the second change finds the text parsed.
func BenchmarkEdit(b *testing.B) {
	var list strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&list, "- name: image-%d\n  dmap:\n", i)
		for n := range 5 {
			fmt.Fprintf(&list, "    \"sha256:%064x\": [\"v1.%d.0\"]\n", i<<8+n, n)
		}
	}
	d := image.Hash(fmt.Sprintf("sha256:%064x", 1000<<8+2))
	tags := []string{"a", "b", "c", "d", "e", "f"}
	b.ReportAllocs()
	for b.Loop() {
		text := manifest.NewImagesText([]byte(list.String()), true)
		if err := text.Add("image-1000", manifest.Addition{Digest: d, Tags: tags}); err != nil {
			b.Fatal(err)
		}
		if err := text.Add("image", manifest.Addition{Digest: d, Tags: tags}); err != nil {
			b.Fatal(err)
		}
	}
}
