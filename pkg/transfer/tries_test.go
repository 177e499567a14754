package transfer_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// The limits on the tries of one blob multiply to the numbers in pkg/registry/tries.go,
// even if a registry fails as late as it can each time.
func TestMaximumTriesOfOneBlob(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		atSource bool
		kind     registrytest.Kind
		fault    func(n int64) registrytest.Fault // of the n-th request
		want     int
	}{
		"reading": {true, registrytest.BlobGet, func(n int64) registrytest.Fault {
			switch {
			case n%7 != 0:
				return registrytest.Status(http.StatusInternalServerError, nil, "")
			case n%28 != 0:
				return registrytest.Truncate(1)
			}
			return registrytest.Corrupt(0)
		}, 4 * 4 * 7},
		"writing": {false, registrytest.UploadPut, func(int64) registrytest.Fault {
			return registrytest.Status(http.StatusInternalServerError, nil, "")
		}, registry.UploadTries},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			img := registrytest.Image(1, 1)
			src.Push(t, "a", img)
			at := dst
			if tc.atSource {
				at = src
			}
			var n atomic.Int64
			at.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				tc.fault(n.Add(1))(w, r, next)
			}, registrytest.Is(tc.kind))
			c, err := registry.New(registry.Options{NoAmbient: true, Backoff: 10 * time.Microsecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			b := transfer.New(c, c)
			layer := img.Blobs[1]
			d := v1.Descriptor{Digest: image.Hash(layer.Digest), Size: int64(len(layer.Raw))}
			if err := b.Place(t.Context(), image.NewRepository(dst.Host, "a"), image.NewRepository(src.Host, "a"), d); err == nil {
				t.Error("got no error, want one")
			}
			b.Wait()
			if got := at.Count(tc.kind); got != tc.want {
				t.Errorf("got %d requests, want %d", got, tc.want)
			}
		})
	}
}
