package manifest

import (
	"os"
	"testing"
)

// data is where real files may be found beside the project.
const data = "../../../shared/data"

// realData returns a directory of real files, or skips the test.
func realData(tb testing.TB, name string) string {
	tb.Helper()
	dir := data + "/" + name
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("no real data here")
	}
	return dir
}

func TestRealThinManifests(t *testing.T) {
	t.Parallel()
	set := Thin(os.DirFS(realData(t, "k8s-manifests")), "")
	equal(t, faults(set), []string{
		`refused images/k8s-staging-ingress-nginx/images.yaml:203:5: bad digest "sha256:23eb4b1775fbaa2adca55c73cf0341e1224d6308689b6f4b3aa1523312eb81c": want sha256: and 64 lower-case hexadecimal digits`,
	})
	var images, digests, tags, refused, destinations int
	for _, m := range set.Manifests {
		images += len(m.Images)
		refused += len(m.Refused)
		destinations += len(m.Destinations)
		for _, im := range m.Images {
			digests += len(im.Digests)
			for _, d := range im.Digests {
				tags += len(d.Tags)
			}
		}
	}
	got := []int{len(set.Manifests), destinations, images, digests, tags, refused}
	equal(t, got, []int{66, 1610, 672, 14504, 14548, 1})
}

func TestRealNativeFile(t *testing.T) {
	t.Parallel()
	set := Plain(os.DirFS(realData(t, "")), "image-tags-bullseye.yaml", "")
	equal(t, faults(set), []string(nil))
	if len(set.Manifests) != 1 || !set.Manifests[0].Native || len(set.Manifests[0].Images) != 50 {
		t.Errorf("not one native manifest of 50 images: %+v", set.Manifests)
	}
}

func BenchmarkRealThinManifests(b *testing.B) {
	fsys := os.DirFS(realData(b, "k8s-manifests"))
	b.ReportAllocs()
	for b.Loop() {
		if len(Thin(fsys, "").Manifests) == 0 {
			b.Fatal("nothing read")
		}
	}
}
