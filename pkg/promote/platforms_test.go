package promote_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// Indexes that contain each other in more ways than can be followed have each image once.
func TestImagesBelowManyIndexes(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	const wide, deep = 16, 8
	level := make([]registrytest.Object, wide)
	want := make([]check.PlatformImage, wide)
	for i := range level {
		level[i] = registrytest.Image(i, 1)
		want[i] = check.PlatformImage{Digest: image.Hash(level[i].Digest), Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
		reg.Push(t, "src/a", level[i])
	}
	for range deep - 1 {
		above := make([]registrytest.Object, wide)
		for i := range above {
			above[i] = registrytest.Index(slices.Concat(level[i:], level[:i]))
			above[i].Children = nil // which the registry has
			reg.Push(t, "src/a", above[i])
		}
		level = above
	}
	top := registrytest.Index(level)
	top.Children = nil
	reg.Push(t, "src/a", top)
	reader := &promote.RuleReader{}
	r := rig{
		manifest: "registries: [{name: " + reg.Host + "/src, src: true}, {name: " + reg.Host + "/dst}]\nimages: []\n",
		change:   func(j *promote.Job) { j.Reader = reader },
	}
	promotion := r.promotion(t)
	defer promotion.Close()
	reg.Reset()
	got, err := reader.Images(t.Context(), image.NewRepository(reg.Host, "src/a"), image.Hash(top.Digest))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, want := reg.Count(registrytest.ManifestGet), 1+(deep-1)*wide+wide; got != want {
		t.Errorf("got %d requests for manifests, want %d", got, want)
	}
}
