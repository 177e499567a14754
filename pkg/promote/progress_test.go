package promote_test

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
)

// The progress moves within a blob, and is complete at the end: with blobs that are sent,
// mounted and there already.
func TestProgressOfHosts(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1, registrytest.LayerSize(4<<20))
	large := img.Blobs[1]
	size := int64(len(img.Blobs[0].Raw) + len(large.Raw))
	src, full, empty := registrytest.New(t), registrytest.New(t), registrytest.New(t)
	src.Push(t, "staging/x", img, "1")
	full.Push(t, "prod/x", img, "old")
	full.DeleteManifest(t, "prod/x", img.Digest)
	images := want("x", img.Digest, "1") + want("y", img.Digest, "1")
	src.Push(t, "staging/y", img)
	p := rig{manifest: plain(images, src.Host+"/staging", full.Host+"/prod", empty.Host+"/prod")}.promotion(t)
	defer p.Close()

	// The source sends half of the blob, and the rest once the destination has seen bytes.
	seen := make(chan struct{})
	src.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		w.Header().Set("Content-Length", rec.Header().Get("Content-Length"))
		raw := rec.Body.Bytes()
		_, _ = w.Write(raw[:len(raw)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-seen:
		case <-r.Context().Done():
		}
		_, _ = w.Write(raw[len(raw)/2:])
	}, registrytest.Is(registrytest.BlobGet), registrytest.Ref(large.Digest))
	var once sync.Once
	empty.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		first := make([]byte, 64<<10)
		_, _ = io.ReadFull(r.Body, first)
		once.Do(func() {
			h := p.Hosts()[slices.IndexFunc(p.Hosts(), func(h promote.HostProgress) bool { return h.Host == empty.Host })]
			if h.BytesDone < int64(len(first)) || h.BytesDone > size/2+512 || h.Bytes != size || h.Images != 2 || h.ImagesDone != 0 {
				t.Errorf("got %+v in the middle of the blob, want from %d to %d of %d bytes done, 0 of 2 images", h, len(first), size/2+512, size)
			}
			close(seen)
		})
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(first), r.Body), r.Body}
		next.ServeHTTP(w, r)
	}, registrytest.Is(registrytest.UploadPut), func(r *http.Request) bool { return r.URL.Query().Get("digest") == large.Digest })

	if hosts := p.Hosts(); hosts != nil {
		t.Errorf("got %+v before the run, want none", hosts)
	}
	p.Run(t.Context(), p.Plan(t.Context()))
	wanted := []promote.HostProgress{
		{Host: full.Host, Images: 2, ImagesDone: 2, Bytes: size, BytesDone: size},
		{Host: empty.Host, Images: 2, ImagesDone: 2, Bytes: size, BytesDone: size},
	}
	slices.SortFunc(wanted, func(a, b promote.HostProgress) int { return cmp.Compare(a.Host, b.Host) })
	if d := diff.Diff(wanted, p.Hosts()); d != "" {
		t.Errorf("progress at the end (-want +got):\n%s", d)
	}
}
