package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// reads are the operations that read a repository, by the kind of their request.
var reads = map[registrytest.Kind]func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error{
	registrytest.ManifestHead: func(ctx context.Context, c *registry.Client, r name.Repository, _ registrytest.Object) error {
		_, _, err := c.Resolve(ctx, r, "1")
		return err
	},
	registrytest.ManifestGet: func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error {
		_, err := c.Manifest(ctx, r, img.Digest)
		return err
	},
	registrytest.Tags: func(ctx context.Context, c *registry.Client, r name.Repository, _ registrytest.Object) error {
		_, err := c.List(ctx, r, nil)
		return err
	},
	registrytest.Referrers: func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error {
		_, err := c.Referrers(ctx, r, image.Hash(img.Digest), func(string) bool { return false })
		return err
	},
	registrytest.BlobGet: func(ctx context.Context, c *registry.Client, r name.Repository, img registrytest.Object) error {
		b := img.Blobs[1]
		return c.FetchBlob(ctx, r, v1.Descriptor{Digest: image.Hash(b.Digest), Size: int64(len(b.Raw))}, &bytes.Buffer{})
	},
}

// Only a challenge of the registry's own host is answered. A 401 of another host after
// a redirect is an error.
func TestChallengeOfAnotherHost(t *testing.T) {
	for auth, option := range map[string]registrytest.Option{
		"basic":  registrytest.BasicAuth("me", "planted-secret"),
		"bearer": registrytest.TokenAuth(map[string]string{"me": "planted-secret"}),
	} {
		for kind, read := range reads {
			t.Run(string(kind)+" of a registry with "+auth, func(t *testing.T) {
				s, page, thief := registrytest.New(t, option), registrytest.New(t), registrytest.New(t)
				dockerConfig(t, s.Host, "me", "planted-secret")
				img := registrytest.Image(1, 1)
				s.Push(t, "a", img, "1")
				s.Fault(registrytest.Redirect(page.URL), registrytest.Is(kind))
				page.Fault(signInAt(thief.URL))
				err := read(t.Context(), newClient(t, registry.Options{}), repo(s, "a"), img)
				if kind != registrytest.Referrers && (err == nil || !strings.Contains(err.Error(), "401")) { // referrers may be listed elsewhere
					t.Errorf("error: got %v, want one that says 401", err)
				}
				for _, other := range []*registrytest.Server{page, thief} {
					for _, r := range other.Requests() {
						if r.Auth != "" || r.Kind == registrytest.Token {
							t.Errorf("a request to another host: got %s, want none with credentials or for a token", r)
						}
					}
				}
			})
		}
	}
}

// signInAt answers 401 with a bearer challenge whose realm is at base, a URL without a path.
func signInAt(base string) registrytest.Fault {
	challenge := fmt.Sprintf("Bearer realm=%q,service=\"other\"", base+"/token")
	return registrytest.Status(http.StatusUnauthorized, registrytest.Header("WWW-Authenticate", challenge), "")
}

// A challenge at an address that another host has chosen is ignored, also if the address
// is on the registry.
func TestChallengeBehindAnotherHost(t *testing.T) {
	s, page, thief := registrytest.New(t, registrytest.BasicAuth("me", "planted-secret")), registrytest.New(t), registrytest.New(t)
	dockerConfig(t, s.Host, "me", "planted-secret")
	img := registrytest.Image(1, 1)
	s.Push(t, "a", img, "1")
	s.Fault(signInAt(thief.URL), func(r *http.Request) bool { return r.URL.Path == "/back" })
	s.Fault(registrytest.Redirect(page.URL), registrytest.Is(registrytest.ManifestGet))
	page.Fault(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, s.URL+"/back", http.StatusFound)
	})
	err := reads[registrytest.ManifestGet](t.Context(), newClient(t, registry.Options{}), repo(s, "a"), img)
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("error: got %v, want one that says 401", err)
	}
	if n := thief.Count(); n != 0 {
		t.Errorf("requests to the realm of another host: got %d, want 0\n%s", n, thief.Summary())
	}
}

// The challenge of a redirected ping is ignored. Those of the registry itself are used.
func TestPingOfAnotherHost(t *testing.T) {
	s := registrytest.New(t, registrytest.BasicAuth("me", "planted-secret"))
	page, thief := registrytest.New(t), registrytest.New(t)
	dockerConfig(t, s.Host, "me", "planted-secret")
	s.Push(t, "a", registrytest.Image(1, 1), "1")
	s.Fault(registrytest.Redirect(page.URL), registrytest.Is(registrytest.Ping))
	page.Fault(signInAt(thief.URL))
	if err := reads[registrytest.ManifestHead](t.Context(), newClient(t, registry.Options{}), repo(s, "a"), registrytest.Object{}); err != nil {
		t.Errorf("reading a tag: got %v, want no error", err)
	}
	if n := thief.Count(); n != 0 {
		t.Errorf("requests to the realm of another host: got %d, want 0\n%s", n, thief.Summary())
	}
}
