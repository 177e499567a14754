package promote_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A blob that a registry claims to hold, and does not have when the manifest is put, is
// sent.
func TestBlobsThatAreNotThere(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 2)
	layer := img.Blobs[1]
	for name, tc := range map[string]struct {
		near    bool // within one registry
		fault   registrytest.Fault
		of      registrytest.Kind
		refusal registrytest.Fault // replaces the registry's own answer
	}{
		"HEAD finds it":                                   {false, registrytest.ClaimBlob(len(layer.Raw)), registrytest.BlobHead, nil},
		"a mount of it":                                   {true, registrytest.Status(201, nil, ""), registrytest.Mount, nil},
		"HEAD finds it, and the refusal is 404":           {false, registrytest.ClaimBlob(len(layer.Raw)), registrytest.BlobHead, registrytest.Status(404, nil, "")},
		"HEAD finds it, and the refusal names the digest": {false, registrytest.ClaimBlob(len(layer.Raw)), registrytest.BlobHead, registrytest.Refuse(400, "MANIFEST_INVALID", "no blob "+layer.Digest)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := registrytest.New(t)
			src := dst
			if !tc.near {
				src = registrytest.New(t)
			}
			src.Push(t, "staging/a", img)
			dst.Push(t, "prod/a", registrytest.Image(9, 1), "other") // else it is not asked for blobs
			match := registrytest.Ref(layer.Digest)
			if tc.near {
				match = registrytest.Repo("prod/a")
			}
			dst.Fault(tc.fault, registrytest.Is(tc.of), match)
			if tc.refusal != nil {
				dst.Fault(tc.refusal, registrytest.Is(registrytest.ManifestPut), registrytest.First(2))
			}
			it := one(t, rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t))
			outcomeOf(t, it, plan.Done, "")
			if missing := dst.Complete(t, "prod/a", "1"); missing != nil {
				t.Errorf("got missing content %v, want none\n%s", missing, dst.Summary())
			}
		})
	}
}

// The size and the digest in each answer about a blob are compared.
func TestBlobsThatAreDamaged(t *testing.T) {
	t.Parallel()
	const elsewhere = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	img := registrytest.Image(1, 1)
	layer := img.Blobs[1]
	is := func(kinds ...registrytest.Kind) registrytest.Match { return registrytest.Is(kinds...) }
	upload := is(registrytest.UploadPut)
	for name, tc := range map[string]struct {
		near   bool
		held   bool // the destination holds the layer
		fault  registrytest.Fault
		when   []registrytest.Match
		want   plan.Status
		says   string
		upload int // of layer and config
	}{
		"HEAD and GET say 0 bytes, always": {
			false, false, registrytest.ClaimBlob(0), []registrytest.Match{registrytest.Ref(layer.Digest), is(registrytest.BlobHead, registrytest.BlobGet)},
			plan.Failed, "did not replace what it had: the registry holds blob " + layer.Digest + " with 0 bytes", 2,
		},
		"HEAD and GET say 0 bytes, until it is sent": {
			false, false, registrytest.ClaimBlob(0), []registrytest.Match{registrytest.Ref(layer.Digest), is(registrytest.BlobHead, registrytest.BlobGet), registrytest.First(2)},
			plan.Done, "", 2,
		},
		"HEAD says 0 bytes, and GET the right size": {
			false, true, registrytest.ClaimBlob(0), []registrytest.Match{registrytest.Ref(layer.Digest), is(registrytest.BlobHead)}, plan.Done, "", 1,
		},
		"neither size nor digest": {
			false, true, registrytest.EditResponse(func(_ int, h http.Header) {
				h.Del("Docker-Content-Digest")
				h.Del("Content-Length")
			}),
			[]registrytest.Match{is(registrytest.BlobHead)}, plan.Done, "", 1,
		},
		"an upload under another digest, once":   {false, false, registrytest.WrongDigest(elsewhere), []registrytest.Match{upload, registrytest.First(1)}, plan.Done, "", 3},
		"an upload under another digest, always": {false, false, registrytest.WrongDigest(elsewhere), []registrytest.Match{upload}, plan.Failed, "under another digest", 4},
		"a mount under another digest":           {true, false, registrytest.WrongDigest(elsewhere), []registrytest.Match{is(registrytest.Mount)}, plan.Done, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := registrytest.New(t, registrytest.NoSinglePost())
			src := dst
			if !tc.near {
				src = registrytest.New(t)
			}
			src.Push(t, "staging/a", img)
			dst.Push(t, "prod/a", registrytest.Image(9, 1), "other") // else it is not asked for blobs
			if tc.held {
				dst.Push(t, "prod/a", img)
				dst.DeleteManifest(t, "prod/a", img.Digest)
				dst.DeleteBlob(t, "prod/a", img.Blobs[0].Digest)
			}
			dst.Fault(tc.fault, tc.when...)
			it := one(t, rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t))
			outcomeOf(t, it, tc.want, tc.says)
			if n := dst.Count(registrytest.UploadPut); n != tc.upload {
				t.Errorf("%d uploads, want %d\n%s", n, tc.upload, dst.Summary())
			}
			if n := dst.OpenUploads(); n > 0 {
				t.Errorf("got %d open uploads, want none", n)
			}
		})
	}
}

// A damaged blob that --deep finds is sent, not mounted. The item has failed if the blob
// is still damaged then.
func TestDeepRepairsWhatIsDamaged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		first int // number of answers that say that it is damaged
		want  plan.Status
		says  string
	}{
		"until it is sent": {2, plan.Done, ""},
		"always":           {100, plan.Failed, "did not replace"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			img := registrytest.Image(1, 1)
			s.Push(t, "staging/a", img)
			s.Push(t, "prod/a", img, "1")
			s.Fault(registrytest.ClaimBlob(0), registrytest.Repo("prod/a"), registrytest.Ref(img.Blobs[1].Digest), registrytest.First(tc.first))
			it := one(t, rig{deep: true, manifest: plain(want("a", img.Digest, "1"), s.Host+"/staging", s.Host+"/prod")}.run(t))
			outcomeOf(t, it, tc.want, tc.says)
			if n := bodies(s); n != 1 {
				t.Errorf("got %d uploads, want 1\n%s", n, s.Summary())
			}
		})
	}
}

// A blob is uploaded no more often than pkg/registry/tries.go says, even if each upload
// succeeds at the last try and the manifest is refused nevertheless.
func TestMaximumUploadsOfOneBlob(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img := registrytest.Image(1, 1)
	layer := img.Blobs[1]
	src.Push(t, "staging/a", img)
	dst.Fault(registrytest.Status(http.StatusNotFound, nil, ""), registrytest.Is(registrytest.BlobHead), registrytest.Ref(layer.Digest))
	dst.Fault(registrytest.Refuse(http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", ""), registrytest.Is(registrytest.ManifestPut))
	var uploads atomic.Int64
	dst.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("digest") == layer.Digest && uploads.Add(1)%registry.UploadTries != 0 {
			next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		}
		next.ServeHTTP(w, r)
	}, registrytest.Is(registrytest.UploadPost, registrytest.UploadPut))
	it := one(t, rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t))
	outcomeOf(t, it, plan.Failed, "MANIFEST_BLOB_UNKNOWN")
	if got, want := uploads.Load(), int64(registry.PutTries*registry.UploadTries); got != want {
		t.Errorf("got %d uploads of the layer, want %d\n%s", got, want, dst.Summary())
	}
}
