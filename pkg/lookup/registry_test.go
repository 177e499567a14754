package lookup

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A caller that waits for another caller's read gets its answer also if that one is stopped.
func TestRegistryOutlivesStop(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(context.Context, *Registry, name.Repository) error{
		"tags": func(ctx context.Context, r *Registry, repo name.Repository) error {
			_, err := r.Tags(ctx, repo)
			return err
		},
		"an image": func(ctx context.Context, r *Registry, repo name.Repository) error {
			_, err := r.Image(ctx, repo, "1")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.New(t)
			reg.Push(t, "staging/a", registrytest.Image(1, 1), "1")
			asked := make(chan struct{})
			reg.Fault(registrytest.Before(func(r *http.Request) {
				close(asked)
				<-r.Context().Done()
			}), registrytest.Repo("staging/a"), registrytest.First(1))
			client, err := registry.New(registry.Options{NoAmbient: true})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			r, repo := NewRegistry(client), image.NewRepository(reg.Host, "staging/a")
			first, stop := context.WithCancel(t.Context())
			stopped := make(chan error, 1)
			go func() { stopped <- read(first, r, repo) }()
			<-asked
			go stop()
			if err := read(t.Context(), r, repo); err != nil {
				t.Error(err)
			}
			if err := <-stopped; err == nil {
				t.Error("got no error of the first read, want it stopped")
			}
		})
	}
}
