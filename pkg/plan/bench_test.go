package plan_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

const kubernetes = "../../../shared/data/k8s-manifests"

// kubernetesSet loads the Kubernetes manifests, or makes a tree of their shape.
func kubernetesSet(b testing.TB) *manifest.Set {
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
	before := heap()
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
				b.Fatalf("got %d entries lacking in %s, want none", len(lack.Entries), t.Repository)
			}
			items, upToDate := plan.Compute(t, inv, plan.Found{})
			for _, it := range items {
				if it.Action != plan.Invalid {
					b.Fatalf("got %+v, want only invalid items", it)
				}
			}
			edges += upToDate
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(edges), "edges")
	b.ReportMetric(float64(heap()-before), "B/heap")
	runtime.KeepAlive(have)
}

// BenchmarkEmptyDestinations plans the Kubernetes manifests against destinations that
// hold nothing: every edge is in an item. B/heap is the memory of the plan without its
// manifests, and B/report that of its report.
func BenchmarkEmptyDestinations(b *testing.B) {
	wanted := plan.Desired(kubernetesSet(b), map[plan.SourceTag]plan.Resolution{})
	have := &inventory.Repository{}
	have.Close()
	var p *plan.Plan
	before := heap()
	for b.Loop() {
		p = &plan.Plan{}
		for _, t := range wanted.Targets {
			found := plan.Found{Digests: map[v1.Hash]plan.Finding{}}
			for _, e := range plan.Lacking(t, have).Entries {
				found.Digests[e.Digest] = plan.Finding{State: inventory.Present, From: e.Sources[0].Repository}
			}
			items, _ := plan.Compute(t, have, found)
			p.Items = append(p.Items, items...)
		}
		p.Sort()
	}
	b.ReportMetric(float64(len(p.Items)), "items")
	b.ReportMetric(float64(heap()-before), "B/heap")
	before = heap()
	report := p.Report(true, wanted)
	b.ReportMetric(float64(heap()-before), "B/report")
	b.ReportMetric(float64(len(report.Items)), "reported")
	runtime.KeepAlive(p)
	runtime.KeepAlive(report)
}

// heap returns the number of bytes that are alive.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
