package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Uploads selects the images that a registry received in a window of time.
type Uploads struct{ From, To time.Time }

// Has reports whether a digest of a repository is selected: it has tags, and none of
// them belongs to a signature or another referrer. Repositories for one platform are left
// out, because the index in the repository without this suffix has their images.
func (u Uploads) Has(repo name.Repository, m registry.Listed) bool {
	at := m.Uploaded.Time()
	switch {
	case len(m.Tags) == 0, slices.ContainsFunc(m.Tags, image.IsAttached):
		return false
	case slices.ContainsFunc([]string{"-amd64", "-arm", "-arm64", "-ppc64le", "-s390x"}, func(end string) bool {
		return strings.HasSuffix(repo.RepositoryStr(), end)
	}):
		return false
	}
	return !at.Before(u.From) && !at.After(u.To)
}
