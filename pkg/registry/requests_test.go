package registry_test

import (
	"context"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// The table in the package comment quotes the numbers of requests that are counted here.
// Package remote is measured with a Puller and a Pusher, which keep what they learn.
func TestRequestsComparedWithRemote(t *testing.T) {
	s := registrytest.New(t, registrytest.TokenAuth(map[string]string{"u": "p"}))
	dockerConfig(t, s.Host, "u", "p")
	img := registrytest.Image(1, 2)
	for _, path := range []string{"a", "b", "c", "d"} {
		s.Push(t, path, img, "1")
	}
	ours := newClient(t, registry.Options{})
	expecting := newClient(t, registry.Options{})
	keychain := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	puller, err := remote.NewPuller(keychain)
	if err != nil {
		t.Fatal(err)
	}
	pusher, err := remote.NewPusher(keychain)
	if err != nil {
		t.Fatal(err)
	}
	other, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name         string
		ours, remote int
		byUs         func(ctx context.Context) error
		byRemote     func(ctx context.Context) error
	}{
		{
			"HEAD in the first repository", 3, 3,
			func(ctx context.Context) error { _, _, err := ours.Resolve(ctx, repo(s, "a"), "1"); return err },
			func(ctx context.Context) error { _, err := puller.Head(ctx, repo(s, "a").Tag("1")); return err },
		},
		{
			"GET in the same repository", 1, 1,
			func(ctx context.Context) error { _, err := ours.Manifest(ctx, repo(s, "a"), "1"); return err },
			func(ctx context.Context) error { _, err := puller.Get(ctx, repo(s, "a").Tag("1")); return err },
		},
		{
			"GET in another repository", 2, 3,
			func(ctx context.Context) error { _, err := ours.Manifest(ctx, repo(s, "b"), "1"); return err },
			func(ctx context.Context) error { _, err := puller.Get(ctx, repo(s, "b").Tag("1")); return err },
		},
		{
			"HEAD in two repositories that are expected", 4, 6,
			func(ctx context.Context) error {
				expecting.ExpectReads([]name.Repository{repo(s, "c"), repo(s, "d")})
				return heads(ctx, expecting, repo(s, "c"), repo(s, "d"))
			},
			func(ctx context.Context) error {
				if _, err := puller.Head(ctx, repo(s, "c").Tag("1")); err != nil {
					return err
				}
				_, err := puller.Head(ctx, repo(s, "d").Tag("1"))
				return err
			},
		},
		{
			"pushing an image with three blobs", 13, 16,
			func(ctx context.Context) error { return push(ctx, ours, repo(s, "ours/new"), img) },
			func(ctx context.Context) error { return pusher.Push(ctx, repo(s, "remote/new").Tag("1"), other) },
		},
	} {
		before := s.Count()
		if err := tc.byUs(t.Context()); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		between := s.Count()
		if err := tc.byRemote(t.Context()); err != nil {
			t.Fatalf("%s with package remote: %v", tc.name, err)
		}
		if got := between - before; got != tc.ours {
			t.Errorf("%s: got %d requests, want %d", tc.name, got, tc.ours)
		}
		if got := s.Count() - between; got != tc.remote {
			t.Errorf("%s with package remote: got %d requests, want %d", tc.name, got, tc.remote)
		}
	}
}

// heads resolves tag 1 in each repository.
func heads(ctx context.Context, c *registry.Client, repos ...name.Repository) error {
	for _, r := range repos {
		if _, _, err := c.Resolve(ctx, r, "1"); err != nil {
			return err
		}
	}
	return nil
}

// push writes the blobs that the repository does not have, then the manifest under tag 1.
func push(ctx context.Context, c *registry.Client, r name.Repository, o registrytest.Object) error {
	for _, b := range o.Blobs {
		d := v1.Descriptor{Digest: image.Hash(b.Digest), Size: int64(len(b.Raw))}
		if _, err := c.HasBlob(ctx, r, d); err != nil {
			return err
		}
		session, err := c.Upload(ctx, r)
		if err != nil {
			return err
		}
		if err := session.Put(ctx, d, registry.BytesBody(b.Raw)); err != nil {
			return err
		}
	}
	m := &registry.Manifest{Digest: image.Hash(o.Digest), MediaType: types.MediaType(o.MediaType), Raw: o.Raw}
	_, err := c.PutTag(ctx, r, "1", m, func(v1.Hash) error { return nil })
	return err
}
