package transfer_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"
)

// Whether a host stores a blob that comes with the POST is learned once. Large blobs are
// not sent on the chance.
func TestPosts(t *testing.T) {
	t.Parallel()
	const small, large = 1000, 300_000
	post := registrytest.Is(registrytest.UploadPost)
	for name, tc := range map[string]struct {
		options []registrytest.Option
		fault   registrytest.Fault
		when    []registrytest.Match
		sizes   []int
		posts   int // with a blob
		opens   int // without one
		puts    int
	}{
		"stored":               {nil, nil, nil, []int{small, small, large, small}, 3, 1, 1},
		"a session is opened":  {[]registrytest.Option{registrytest.NoSinglePost()}, nil, nil, []int{small, large, small}, 1, 2, 3},
		"large blobs alone":    {nil, nil, nil, []int{large, large}, 0, 2, 2},
		"refused":              {nil, registrytest.Refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", ""), []registrytest.Match{post, withDigest}, []int{small, small, small}, 2, 3, 3},
		"refused once":         {nil, registrytest.Refuse(http.StatusBadRequest, "UNKNOWN", ""), []registrytest.Match{post, withDigest, registrytest.First(1)}, []int{small, small, small}, 3, 1, 1},
		"failing":              {nil, registrytest.Status(http.StatusInternalServerError, nil, ""), []registrytest.Match{post, withDigest}, []int{small, small}, 2, 2, 2},
		"stored, and then not": {[]registrytest.Option{registrytest.NoSinglePost()}, registrytest.Status(http.StatusCreated, nil, ""), []registrytest.Match{post, withDigest, registrytest.First(2)}, []int{small, small, small, small}, 3, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t, tc.options...)
			if tc.fault != nil {
				dst.Fault(tc.fault, tc.when...)
			}
			c := client(t)
			b := transfer.New(c, c)
			for i, size := range tc.sizes {
				raw := make([]byte, size)
				copy(raw, fmt.Sprint(i))
				blob := registrytest.NewBlob("text/plain", raw)
				src.PushBlob(t, "a", blob)
				if err := b.Place(t.Context(), image.NewRepository(dst.Host, "a"), image.NewRepository(src.Host, "a"), descriptor(blob)); err != nil {
					t.Fatal(err)
				}
			}
			b.Wait()
			var posts, opens int
			for _, r := range dst.Requests() {
				switch {
				case r.Kind != registrytest.UploadPost:
				case r.Query == "":
					opens++
				default:
					posts++
				}
			}
			if puts := dst.Count(registrytest.UploadPut); posts != tc.posts || opens != tc.opens || puts != tc.puts {
				t.Errorf("got %d POSTs with a blob, %d without, %d PUTs, want %d, %d, %d\n%s", posts, opens, puts, tc.posts, tc.opens, tc.puts, dst.Summary())
			}
			if n := dst.OpenUploads(); n != 0 {
				t.Errorf("got %d open uploads, want none\n%s", n, dst.Summary())
			}
		})
	}
}

func client(t *testing.T) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Options{NoAmbient: true, Backoff: 10 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func descriptor(b registrytest.Blob) v1.Descriptor {
	return v1.Descriptor{Digest: image.Hash(b.Digest), Size: int64(len(b.Raw))}
}
