package kpromo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Uploads are the images that a registry received in a window of time.
type Uploads struct {
	Root image.Registry

	from, to time.Time
	limit    int // 0: all
}

// None says that there are no such images.
func (u *Uploads) None() string {
	return fmt.Sprintf("%s received no tagged image between %s and %s", u.Root, u.from.UTC().Format(time.RFC3339), u.to.UTC().Format(time.RFC3339))
}

// Names returns a manifest without images, in which the registry has its public name.
func (u *Uploads) Names() *manifest.Set {
	entry := &manifest.Registry{Name: u.Root, PublicName: publicName, Attestations: true}
	return &manifest.Set{Manifests: []*manifest.Manifest{{Source: &manifest.Registry{Name: u.Root}, Destinations: []*manifest.Registry{entry}}}}
}

// Find returns references to the images under their public names, sorted by name and digest.
func (u *Uploads) Find(ctx context.Context, client *registry.Client, warn func(string)) ([]string, error) {
	var timeless atomic.Bool
	all, err := client.Snapshot(ctx, u.Root, registry.SnapshotOptions{Listed: true, Select: func(repo name.Repository, m registry.Listed) bool {
		if m.Uploaded.Time().IsZero() {
			timeless.Store(true)
		}
		return u.has(repo, m)
	}}, warn)
	switch {
	case err != nil:
		return nil, err
	case timeless.Load():
		return nil, fmt.Errorf("reading registry %s: its list of images has no times of uploads: name the images", u.Root)
	}
	var references []string
	for _, img := range all {
		for _, d := range img.Digests {
			if u.limit == 0 || len(references) < u.limit {
				references = append(references, publicName+"/"+img.Name+"@"+d.Digest.String())
			}
		}
	}
	return references, nil
}

// has reports whether a digest of a repository is selected: it has tags, and none of
// them belongs to a signature or another referrer. Repositories for one platform are left
// out, because the index in the repository without this suffix has their images.
func (u *Uploads) has(repo name.Repository, m registry.Listed) bool {
	at := m.Uploaded.Time()
	switch {
	case len(m.Tags) == 0, slices.ContainsFunc(m.Tags, image.IsAttached):
		return false
	case slices.ContainsFunc([]string{"-amd64", "-arm", "-arm64", "-ppc64le", "-s390x"}, func(end string) bool {
		return strings.HasSuffix(repo.RepositoryStr(), end)
	}):
		return false
	}
	return !at.Before(u.from) && !at.After(u.to)
}
