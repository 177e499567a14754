package promote_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// On a host whose HEAD finds nothing no tag is moved and nothing is copied twice.
func TestHeadNotFound(t *testing.T) {
	t.Parallel()
	img, other := registrytest.Image(1, 1), registrytest.Image(2, 1)
	names := map[string]string{img.Digest: "img", other.Digest: "other"}
	for name, tc := range map[string]struct {
		native bool
		pin    string // of the native entry
		late   bool   // 1.0 is set just before it would be written
		at     *registrytest.Object
		want   string
		puts   int
	}{
		"it is right":                         {at: &img},
		"it is another image":                 {at: &other, want: "conflict refused prod/x img 1.0 was other\n"},
		"it becomes another image":            {at: &other, late: true, want: "tag refused prod/x img 1.0\n"},
		"a retag entry, and it is right":      {native: true, at: &img},
		"a retag entry, and another image":    {native: true, at: &other, want: "conflict refused prod/x img 1.0 was other\n"},
		"a retag entry, and it comes to be":   {native: true, at: &other, late: true, want: "tag refused prod/x img 1.0\n"},
		"a pinned entry, and another image":   {native: true, pin: img.Digest, at: &other, want: "tag refused prod/x img 1.0\n"},
		"a retag entry, and nothing is there": {native: true, want: "tag done prod/x img 1.0\n", puts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			src.Push(t, "staging/x", img, "build")
			dst.Push(t, "prod/x", img, "build")
			r := rig{manifest: plain(want("x", img.Digest, "build, '1.0'"), src.Host+"/staging", dst.Host+"/prod")}
			if tc.native {
				r = rig{native: []string{"images:\n- name: " + dst.Host + "/prod/x\n  src_build_tag: build\n  tag: '1.0'\n"}}
			}
			if tc.pin != "" {
				r.native[0] += "  digest: " + tc.pin + "\n"
			}
			switch {
			case tc.late:
				// The second look at the tag is the one before it is written.
				after := 0
				if tc.native {
					after = 1
				}
				dst.Fault(dst.MoveTag(t, "prod/x", "1.0", *tc.at),
					registrytest.Is(registrytest.ManifestHead), registrytest.Ref("1.0"), registrytest.Nth(after+1))
			case tc.at != nil:
				dst.Push(t, "prod/x", *tc.at, "1.0")
			}
			dst.HeadNotFound()
			p := r.run(t)
			if got := lines(p, names); got != tc.want {
				t.Errorf("got %q, want %q: %+v", got, tc.want, p.Items)
			}
			if n := dst.Count(registrytest.ManifestPut); n != tc.puts {
				t.Errorf("got %d PUTs, want %d\n%s", n, tc.puts, dst.Summary())
			}
		})
	}
}

// A destination that answers a page to everything is not up to date.
func TestPageIsNotUpToDate(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img := registrytest.Image(1, 1)
	src.Push(t, "staging/x", img, "build")
	dst.Fault(registrytest.Refuse(404, "NAME_UNKNOWN", "no"), registrytest.Is(registrytest.Tags))
	dst.Fault(registrytest.LoginPage(), registrytest.Is(registrytest.ManifestHead, registrytest.ManifestGet))
	p := rig{manifest: plain(want("x", img.Digest, ""), src.Host+"/staging", dst.Host+"/prod")}.run(t)
	if got, want := lines(p, map[string]string{img.Digest: "img"}), "unknown failed prod/x img \n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if p.UpToDate != 0 || len(dst.Writes()) != 0 {
		t.Errorf("got %d up to date and writes %v, want none", p.UpToDate, dst.Writes())
	}
}

// One signed schema 1 image stops only itself, and is named as such.
func TestSchema1AmongOthers(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img := registrytest.Image(1, 1)
	src.Push(t, "staging/x", img, "new")
	old, answer := registrytest.SignedSchema1("staging/x", "old")
	src.Fault(registrytest.Answer(func(*http.Request) *registrytest.Response { return &answer }), registrytest.Ref(old))
	p := rig{manifest: plain(want("x", img.Digest, "new", old, "old"), src.Host+"/staging", dst.Host+"/prod")}.run(t)
	got := lines(p, map[string]string{img.Digest: "img", old: "old"})
	for _, line := range []string{"copy done prod/x img new\n", "unknown failed prod/x old old\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("got %q, want %q in it", got, line)
		}
	}
	for _, it := range p.Items {
		if it.Digest.String() == old && !strings.Contains(it.Error, "schema 1") {
			t.Errorf("got error %q, want one that names schema 1", it.Error)
		}
	}
}

// The size of a blob is asked for once a run for each host, and where else the blob may be.
func TestBlobSizeOnce(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	blob := registrytest.Image(1, 1).Blobs[0]
	s.PushBlob(t, "b", blob)
	s.PushBlob(t, "c", blob)
	client, err := registry.New(registry.Options{NoAmbient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sources := promote.NewSources(client, func(string) {})
	defer sources.Close()
	d := v1.Descriptor{Digest: image.Hash(blob.Digest), Size: int64(len(blob.Raw))}
	for _, path := range []string{"b", "c", "b"} {
		if got, err := sources.BlobSize(t.Context(), image.NewRepository(s.Host, path), d); err != nil || got != d.Size {
			t.Errorf("%s: got %d bytes (%v), want %d", path, got, err, d.Size)
		}
	}
	if n := s.Count(registrytest.BlobHead); n != 1 {
		t.Errorf("got %d HEADs, want 1", n)
	}
	if _, err := sources.BlobSize(t.Context(), image.NewRepository(s.Host, "b"), v1.Descriptor{Digest: image.Hash("sha256:" + strings.Repeat("0", 64)), Size: 1}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v, want %v", err, registry.ErrNotFound)
	}
}
