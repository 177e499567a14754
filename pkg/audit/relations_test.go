package audit

import (
	"context"
	"net/http"
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
