package attest_test

import (
	"fmt"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// What the platforms of an index have is read for all of them at the same time.
func TestPlatformsAreReadAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.o.Records, r.o.Signatures = false, false
	var children []registrytest.Object
	for i := range 6 {
		children = append(children, registrytest.Image(i, 1, registrytest.Platform(fmt.Sprintf("linux/cpu%d", i))))
	}
	index := registrytest.Index(children)
	r.promote(index)
	release := make(chan struct{})
	r.server.Fault(registrytest.Hold(release), registrytest.Is(registrytest.Referrers), registrytest.Not(registrytest.Ref(index.Digest)))
	r.server.Reset()
	planned := make(chan []plan.Item)
	go func() {
		items, _ := r.run(t.Context())
		planned <- items
	}()
	r.server.Await(t, 1+len(children), registrytest.Referrers)
	close(release)
	if items := <-planned; len(items) != 1+len(children) {
		t.Errorf("got %q, want a summary of the index and each platform", outcomes(items))
	}
}
