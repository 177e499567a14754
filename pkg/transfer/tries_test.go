package transfer_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// withDigest matches the requests that send a blob: POST and PUT.
func withDigest(r *http.Request) bool { return r.URL.Query().Has("digest") }

// The limits on the tries of one blob multiply to the numbers in pkg/registry/tries.go,
// even if a registry fails as late as it can each time.
func TestMaximumTriesOfOneBlob(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		atSource bool
		match    registrytest.Match
		fault    func(n int64) registrytest.Fault // of the n-th request
		want     int
	}{
		"reading": {true, registrytest.Is(registrytest.BlobGet), func(n int64) registrytest.Fault {
			switch {
			case n%7 != 0:
				return registrytest.Status(http.StatusInternalServerError, nil, "")
			case n%28 != 0:
				return registrytest.Truncate(1)
			}
			return registrytest.Corrupt(0)
		}, 4 * 4 * 7},
		"writing": {false, withDigest, func(int64) registrytest.Fault {
			return registrytest.Status(http.StatusInternalServerError, nil, "")
		}, registry.UploadTries},
		"writing to a host that is busy": {false, withDigest, func(int64) registrytest.Fault {
			return registrytest.Status(http.StatusTooManyRequests, registrytest.Header("Retry-After", "0"), "")
		}, 15},
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
			hits := at.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				tc.fault(n.Add(1))(w, r, next)
			}, tc.match)
			c := client(t)
			b := transfer.New(c, c)
			if err := b.Place(t.Context(), image.NewRepository(dst.Host, "a"), image.NewRepository(src.Host, "a"), descriptor(img.Blobs[1])); err == nil {
				t.Error("got no error, want one")
			}
			b.Wait()
			if got := hits.Hits(); got != tc.want {
				t.Errorf("got %d requests, want %d", got, tc.want)
			}
		})
	}
}
