package promote_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A promotion from Go: two registries in this process, a manifest, the plan, and
// the same plan carried out.
func Example() {
	quiet := ociregistry.Logger(log.New(io.Discard, "", 0))
	staging, production := httptest.NewServer(ociregistry.New(quiet)), httptest.NewServer(ociregistry.New(quiet))
	defer staging.Close()
	defer production.Close()
	host := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

	// Somebody has pushed an image to staging.
	image, err := name.NewTag(host(staging) + "/shop/apple:build-7")
	if err != nil {
		log.Fatal(err)
	}
	if err := remote.Write(image, empty.Image); err != nil {
		log.Fatal(err)
	}
	digest, err := empty.Image.Digest()
	if err != nil {
		log.Fatal(err)
	}

	// A reviewed manifest says what belongs in production.
	text := fmt.Sprintf(`
registries:
- name: %s/shop
  src: true
- name: %s/prod
images:
- name: apple
  dmap:
    %q: ["1.0", "latest"]
`, host(staging), host(production), digest)
	set := manifest.Plain(fstest.MapFS{"promote.yaml": {Data: []byte(text)}}, "promote.yaml", "promote.yaml")

	ctx := context.Background()
	p, err := promote.New(promote.Job{Set: set, Registry: registry.Options{NoAmbient: true}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	plan := p.Plan(ctx)
	for _, it := range plan.Items {
		fmt.Println(it.Status, it.Action, it.Destination.RepositoryStr(), it.Tag)
	}
	p.Run(ctx, plan)
	for _, it := range plan.Items {
		fmt.Println(it.Status, it.Action, it.Destination.RepositoryStr(), it.Tag)
	}
	// Output:
	// planned copy prod/apple 1.0
	// planned copy prod/apple latest
	// done copy prod/apple 1.0
	// done copy prod/apple latest
}
