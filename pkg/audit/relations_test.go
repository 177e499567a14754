package audit

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// If the caller that reads for others is canceled, the others get a result.
func TestMembersAfterTheirReaderIsCanceled(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	index := registrytest.MultiArch(1, 2, 1)
	reg.Push(t, "prod/a", index, "1")
	asked := make(chan struct{})
	reg.Fault(registrytest.Before(func(r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}), registrytest.Is(registrytest.ManifestGet), registrytest.First(1))
	client, err := registry.New(registry.Options{NoAmbient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	f := newRelations(client)
	at := []name.Repository{image.NewRepository(reg.Host, "prod/a")}
	first, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		_, err := f.members(first, at, image.Hash(index.Digest))
		stopped <- err
	}()
	<-asked
	go stop()
	m, err := f.members(t.Context(), at, image.Hash(index.Digest))
	if err != nil || m == nil || len(m.children) != 2 {
		t.Errorf("got %+v and error %v, want members", m, err)
	}
	if err := <-stopped; err == nil {
		t.Error("got no error for the canceled caller, want one")
	}
}

// Indexes that contain each other in many ways are read once each. All ways through
// these indexes would be too many to follow.
func TestIndexesBelowMany(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	const wide = 16
	level := make([]registrytest.Object, wide)
	for i := range level {
		level[i] = registrytest.Image(i, 1)
		reg.Push(t, "prod/a", level[i])
	}
	for range maxDepth {
		above := make([]registrytest.Object, wide)
		for i := range above {
			above[i] = registrytest.Index(slices.Concat(level[i:], level[:i]))
			above[i].Children = nil // which the registry has
			reg.Push(t, "prod/a", above[i])
		}
		level = above
	}
	top := registrytest.Index(level)
	top.Children = nil
	reg.Push(t, "prod/a", top, "1.0")
	evil := registrytest.Image(wide, 1)
	reg.Push(t, "prod/a", evil)
	r := newRig(t, reg, entry("a", top.Digest, "1.0"))
	reg.Reset()
	if _, text := r.push("1", "INSERT", "prod/a", "", evil.Digest); !strings.Contains(text, "TRANSACTION REJECTED") {
		t.Errorf("got %q, want a rejection", text)
	}
	// The source is asked first, and has none of them.
	if got, want := reg.Count(registrytest.ManifestGet), 2*(1+wide*maxDepth); got != want {
		t.Errorf("got %d requests for image manifests, want %d", got, want)
	}
	if err := r.auditor.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	drifts, err := r.auditor.store.drifts()
	if err != nil || len(drifts) != 1 || drifts[0].Count != 0 {
		t.Errorf("got drift %+v and error %v, want none", drifts, err)
	}
}
