package registry_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Requests that begin together share a connection of HTTP/2: to the registry, to its token
// server, and to the storage that it redirects to. Later requests use idle connections.
func TestConnections(t *testing.T) {
	t.Parallel()
	for name, o := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, append(o, registrytest.TokenAuth(nil, registrytest.AnonymousPull()))...)
			blob := registrytest.NewBlob("application/octet-stream", bytes.Repeat([]byte("x"), 1000))
			const requests = 60
			for i := range requests {
				s.PushBlob(t, fmt.Sprintf("r%d", i), blob)
			}
			storage := s.Storage(t, o...)
			s.Fault(registrytest.Redirect(storage.URL), registrytest.Is(registrytest.BlobGet))
			fetch := func(c *registry.Client, i int) {
				d := v1.Descriptor{Digest: image.Hash(blob.Digest), Size: int64(len(blob.Raw))}
				if err := c.FetchBlob(t.Context(), repo(s, fmt.Sprintf("r%d", i)), d, &bytes.Buffer{}); err != nil {
					t.Error(err)
				}
			}
			opened := func(by func(c *registry.Client)) (toRegistry, toStorage int) {
				c := newClient(t, registry.Options{}, s, storage)
				n, m := s.Connections(), storage.Connections()
				by(c)
				return s.Connections() - n, storage.Connections() - m
			}
			if n, m := opened(func(c *registry.Client) {
				for i := range 10 {
					fetch(c, i)
				}
			}); n > 2 || m != 1 { // a host on loopback is first tried without TLS
				t.Errorf("one after another: got %d connections to the registry and %d to its storage, want at most 2, and 1", n, m)
			}
			if name != "HTTP/2" {
				return
			}
			if n, m := opened(func(c *registry.Client) {
				var wg sync.WaitGroup
				for i := range requests {
					wg.Go(func() { fetch(c, i) })
				}
				wg.Wait()
			}); n > 2 || m != 1 {
				t.Errorf("all at once: got %d connections to the registry and %d to its storage, want at most 2, and 1", n, m)
			}
		})
	}
}
