package plan_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

const kubernetes = "../../../shared/data/k8s-manifests"

// kubernetesSet loads the Kubernetes manifests, or makes a tree of their shape.
func kubernetesSet(b *testing.B) *manifest.Set {
	if _, err := os.Stat(kubernetes); err == nil {
		return manifest.Thin(os.DirFS(kubernetes), "")
	}
	set := &manifest.Set{}
	for m := range 66 {
		man := &manifest.Manifest{Source: &manifest.Registry{Name: registryOf(b, fmt.Sprintf("staging.example/p%d", m))}}
		for d := range 22 {
			man.Destinations = append(man.Destinations, &manifest.Registry{Name: registryOf(b, fmt.Sprintf("r%d.example/prod/p%d", d, m))})
		}
		for i := range 7 {
			img := manifest.Image{Name: fmt.Sprintf("image-%d", i)}
			for n := range 56 {
				img.Digests = append(img.Digests, manifest.Digest{Digest: digest(m<<16 + i<<8 + n), Tags: []manifest.Tag{{Name: fmt.Sprintf("v1.%d.0", n)}}})
			}
			man.Images = append(man.Images, img)
		}
		set.Manifests = append(set.Manifests, man)
	}
	return set
}

// BenchmarkKubernetes plans the Kubernetes manifests against destinations that
// hold everything: from loaded manifests to the complete, empty plan. B/heap is
// what is alive then, inventories included.
func BenchmarkKubernetes(b *testing.B) {
	set := kubernetesSet(b)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	have := map[name.Repository]*inventory.Repository{}
	for _, t := range plan.Desired(set, map[plan.SourceTag]plan.Resolution{}).Targets {
		inv := &inventory.Repository{}
		for _, e := range t.Want.Entries {
			inv.SetDigest(e.Digest, inventory.Present)
			for _, tag := range e.Tags {
				inv.SetTag(tag, e.Digest)
			}
		}
		inv.Close()
		have[t.Repository] = inv
	}
	edges := 0
	b.ResetTimer()
	for b.Loop() {
		wanted := plan.Desired(set, map[plan.SourceTag]plan.Resolution{})
		edges = 0
		for _, t := range wanted.Targets {
			inv := have[t.Repository]
			if lack := plan.Lacking(t, inv); len(lack.Entries) > 0 {
				b.Fatalf("%s lacks %d", t.Repository, len(lack.Entries))
			}
			items, upToDate := plan.Compute(t, inv, plan.Found{})
			for _, it := range items {
				if it.Action != plan.Invalid {
					b.Fatalf("%+v", it)
				}
			}
			edges += upToDate
		}
	}
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(edges), "edges")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc), "B/heap")
	runtime.KeepAlive(have)
}
