package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// TestLimits promotes what a hostile source serves next to a good image: only the bad one is refused, with the reason.
func TestLimits(t *testing.T) {
	t.Parallel()
	img := rt.Image(1, 1)
	resized := func(more int) []byte {
		size := fmt.Sprintf(`"size": %d`, len(img.Blobs[1].Raw))
		return bytes.Replace(img.Raw, []byte(size), fmt.Appendf(nil, `"size": %d`, len(img.Blobs[1].Raw)+more), 1)
	}
	rows := map[string]struct {
		mediaType string
		raw       []byte
		parts     []rt.Object // pushed too
		says      string
	}{
		"a large manifest":      {rt.OCIManifest, append(bytes.Clone(img.Raw), bytes.Repeat([]byte(" "), 9<<20)...), nil, "more than 8388608"},
		"many children":         {rt.OCIIndex, manyChildren(4097), nil, "the limit is 4096"},
		"deep nesting":          {rt.OCIIndex, nest(img, 10).Raw, []rt.Object{nest(img, 9)}, "more than 8 deep"},
		"no JSON":               {rt.OCIManifest, []byte("<html>\x1b[31m"), nil, "parsing the manifest"},
		"schema 1":              {"application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion": 1, "fsLayers": []}`), nil, "schema 1 is not supported"},
		"a digest with a path":  {rt.OCIManifest, bytes.Replace(img.Raw, []byte(img.Blobs[1].Digest), []byte("sha256:../../../x"), 1), nil, "non-hex character in hash"},
		"a digest of old":       {rt.OCIManifest, bytes.Replace(img.Raw, []byte(img.Blobs[1].Digest), []byte("md5:d41d8cd98f00b204e9800998ecf8427e"), 1), nil, "unsupported hash: \"md5\""},
		"a layer that is short": {rt.OCIManifest, resized(1), []rt.Object{img}, "reading blob"},
		"a layer that is long":  {rt.OCIManifest, resized(-1), []rt.Object{img}, "reading blob"},
		"a negative size":       {rt.OCIManifest, resized(-len(img.Blobs[1].Raw) - 5), []rt.Object{img}, "size -5"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := rt.New(t), rt.New(t, rt.Sparse())
			good, bad := rt.Image(2, 1), rt.Wrap(row.mediaType, row.raw)
			src.Push(t, "staging/good", good, "build")
			for _, o := range row.parts {
				src.Push(t, "staging/bad", o)
			}
			src.Fault(rt.Answer(func(*http.Request) *rt.Response {
				return &rt.Response{Header: rt.Header("Content-Type", row.mediaType), Body: string(row.raw)}
			}), rt.Is(rt.ManifestGet), rt.Ref(bad.Digest))
			images := entry("good", good.Digest, "1.0") + entry("bad", bad.Digest, "1.0")
			out := run(t, 1, "--manifest="+writeManifest(t, images, src.Host+"/staging", dst.Host+"/prod"), "--confirm")
			for _, p := range wrong(t, dst, "prod/good", good, "1.0") {
				t.Error(p)
			}
			if tags := dst.Tags(t, "prod/bad"); len(tags) > 0 {
				t.Errorf("got tags %v, want none", tags)
			}
			for _, p := range out.report.Promotions {
				if p.Digest == bad.Digest && (p.Status != "failed" || !strings.Contains(p.Error, row.says)) {
					t.Errorf("%s, want failed and %q: %s", p.Status, row.says, p.Error)
				}
			}
			if n := dst.OpenUploads(); n > 0 {
				t.Errorf("got %d open uploads, want 0\n%s", n, dst.Summary())
			}
		})
	}
}

// manyChildren is an index that names n children.
func manyChildren(n int) []byte {
	children := make([]rt.Object, n)
	for i := range children {
		children[i] = rt.Wrap(rt.OCIManifest, fmt.Appendf(nil, `{"schemaVersion": 2, "number": %d}`, i))
	}
	return rt.Index(children).Raw
}

// nest puts an image into an index, that into another, and so on.
func nest(o rt.Object, depth int) rt.Object {
	for range depth {
		o = rt.Index([]rt.Object{o})
	}
	return o
}
