package promote_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Shards together read and write what one run does, and read each blob of the source once.
func TestShardsCostNoMore(t *testing.T) {
	t.Parallel()
	kinds := []registrytest.Kind{
		registrytest.Tags, registrytest.ManifestGet, registrytest.ManifestHead, registrytest.ManifestPut, registrytest.BlobGet, registrytest.BlobHead,
		registrytest.UploadPost, registrytest.UploadPatch, registrytest.UploadPut,
	}
	const images, layers = 9, 2
	costs := func(count int) (src, eu, us string) {
		a, b, c := registrytest.New(t), registrytest.New(t), registrytest.New(t)
		var text strings.Builder
		for n := range images {
			name := fmt.Sprintf("image-%d", n)
			img := registrytest.Image(100*n, layers)
			a.Push(t, "staging/"+name, img, "build")
			text.WriteString(want(name, img.Digest, "1.0, latest"))
			text.WriteString("  retag:\n  - {src_build_tag: build, tag: nightly}\n")
		}
		a.Reset()
		done := 0
		for i := range count {
			p := rig{manifest: plain(text.String(), a.Host+"/staging", b.Host+"/prod", c.Host+"/prod"), shard: plan.Shard{Index: i, Count: count}}.run(t)
			for _, it := range p.Items {
				if it.Status != plan.Done {
					t.Errorf("shard %d/%d: got %s %s of %s: %s, want done", i, count, it.Action, it.Status, it.Destination, it.Error)
				}
				done++
			}
		}
		if want := images * 3 * 2; done != want {
			t.Errorf("%d shards: got %d items, want %d", count, done, want)
		}
		if got, want := a.Count(registrytest.BlobGet), images*(layers+1); got != want {
			t.Errorf("%d shards: got %d blobs read from the source, want %d\n%s", count, got, want, a.Summary())
		}
		cost := func(s *registrytest.Server) string {
			var b strings.Builder
			for _, kind := range kinds {
				fmt.Fprintf(&b, "%s=%d ", kind, s.Count(kind))
			}
			return b.String()
		}
		return cost(a), cost(b), cost(c)
	}
	src, eu, us := costs(1)
	for _, count := range []int{2, 8} {
		gotSrc, gotEU, gotUS := costs(count)
		for _, side := range [][3]string{{"the source", src, gotSrc}, {"one destination", eu, gotEU}, {"another one", us, gotUS}} {
			if side[1] != side[2] {
				t.Errorf("%d shards: got %s from %s, want %s", count, side[2], side[0], side[1])
			}
		}
	}
}

func TestQuotaOfAShard(t *testing.T) {
	t.Parallel()
	for shard, want := range map[plan.Shard]float64{{}: 83, {Index: 0, Count: 1}: 83, {Index: 3, Count: 4}: 20.75} {
		if got := shard.Quota(83); got != want {
			t.Errorf("%+v: got %g, want %g", shard, got, want)
		}
	}
}
