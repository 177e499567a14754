package registrytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestBuildersAreDeterministicAndDistinct(t *testing.T) {
	makers := map[string]func() Object{
		"image":         func() Object { return Image(1, 2) },
		"other seed":    func() Object { return Image(2, 2) },
		"more layers":   func() Object { return Image(1, 3) },
		"no layers":     func() Object { return Image(1, 0) },
		"docker":        func() Object { return Image(1, 2, Docker()) },
		"based":         func() Object { return Image(1, 2, Base(7, 8)) },
		"annotated":     func() Object { return Image(1, 2, Annotate("a", "b"), Annotate("c", "d")) },
		"platform":      func() Object { return Image(1, 2, Platform("linux/arm/v7")) },
		"sha512":        func() Object { return Image(1, 2, SHA512()) },
		"foreign":       func() Object { return Image(1, 2, Foreign("https://example.com/layer")) },
		"untyped":       func() Object { return Image(1, 2, NoMediaType()) },
		"referrer":      func() Object { return Image(1, 2, Subject(Image(2, 1))) },
		"artifact":      func() Object { return Artifact(1, "example/sbom") },
		"attestation":   func() Object { return Attestation(1, Image(1, 2)) },
		"index":         func() Object { return Index([]Object{Image(1, 2)}) },
		"empty index":   func() Object { return Index(nil) },
		"nested index":  func() Object { return Index([]Object{Index([]Object{Image(1, 2)})}) },
		"docker list":   func() Object { return Index([]Object{Image(1, 2, Docker())}, Docker()) },
		"many platform": func() Object { return MultiArch(1, 8, 1) },
	}
	seen := map[string]string{}
	for name, make := range makers {
		a, b := make(), make()
		if !reflect.DeepEqual(a, b) { // cmp.Diff walks every byte
			t.Errorf("%s differs from itself", name)
		}
		if other, ok := seen[a.Digest]; ok {
			t.Errorf("got one digest for %s and %s, want two", name, other)
		}
		seen[a.Digest] = name
	}
}

func TestObjectsStoreWhole(t *testing.T) {
	subject := Image(9, 1)
	objects := map[string]Object{
		"image":           Image(1, 3),
		"no layers":       Image(1, 0),
		"docker":          Image(1, 2, Docker()),
		"sha512":          Image(1, 2, SHA512()),
		"foreign":         Image(1, 1, Foreign("https://example.com/layer")),
		"docker foreign":  Image(1, 1, Docker(), Foreign("https://example.com/layer")),
		"untyped":         Image(1, 1, NoMediaType()),
		"artifact":        Artifact(1, "example/sbom", Subject(subject), Annotate("k", "v")),
		"sha512 subject":  Artifact(1, "example/sbom", Subject(Image(1, 1, SHA512()))),
		"index":           MultiArch(1, 3, 2),
		"docker list":     MultiArch(1, 3, 2, Docker()),
		"sha512 index":    MultiArch(1, 2, 1, SHA512()),
		"sha512 child":    Index([]Object{Image(1, 1, SHA512()), Image(2, 1)}),
		"nested":          Index([]Object{MultiArch(1, 2, 1), MultiArch(2, 2, 1, Docker()), Image(3, 1)}),
		"attested":        Index([]Object{subject, Attestation(1, subject)}),
		"empty":           Index(nil),
		"large":           MultiArch(5, 40, 1, Base(1, 2)),
		"index as subjct": Index([]Object{Image(4, 1)}, Subject(subject), ArtifactType("example/bundle")),
	}
	for name, o := range objects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(t)
			s.Push(t, "a/b", o, "1", "2")
			if problems := s.Complete(t, "a/b", o.Digest); problems != nil {
				t.Fatalf("got problems %q, want none", problems)
			}
			if diff := cmp.Diff(map[string]string{"1": o.Digest, "2": o.Digest}, s.Tags(t, "a/b")); diff != "" {
				t.Error(diff)
			}
			raw, mediaType, ok := s.Manifest(t, "a/b", "2")
			if !ok || mediaType != o.MediaType || !bytes.Equal(raw, o.Raw) {
				t.Errorf("got type %s, equal bytes %t, want %s and true", mediaType, bytes.Equal(raw, o.Raw), o.MediaType)
			}
			for _, digest := range o.BlobDigests() {
				if !s.HasBlob(t, "a/b", digest) {
					t.Errorf("no blob %s", digest)
				}
			}
			for _, digest := range o.ManifestDigests() {
				if _, _, ok := s.Manifest(t, "a/b", digest); !ok {
					t.Errorf("no manifest %s", digest)
				}
			}
		})
	}
}

func TestImagesAreValid(t *testing.T) {
	s := New(t)
	s.Push(t, "r", Image(1, 2, Base(3), LayerSize(200_000)), "oci")
	s.Push(t, "r", Image(1, 2, Docker(), Platform("linux/arm64/v8")), "docker")
	for _, tag := range []string{"oci", "docker"} {
		img, err := remote.Image(ref(t, s, "r:"+tag), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"}))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

func TestManifestFields(t *testing.T) {
	subject := Image(1, 1)
	img := Image(2, 1, Base(1), Platform("linux/arm/v7"))
	m := parse(t, Artifact(1, "example/sbom", Subject(subject), Annotate("k", "v")))
	if m.ArtifactType != "example/sbom" || m.Config.MediaType != types.OCIEmptyJSON || m.Config.Size != 2 || m.Annotations["k"] != "v" ||
		m.Config.Digest.String() != "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("got artifact %+v, want type example/sbom, the empty config of 2 bytes and annotation k=v", m)
	}
	if m.Subject == nil || m.Subject.Digest.String() != subject.Digest || m.Subject.Size != int64(len(subject.Raw)) {
		t.Errorf("got subject %+v, want %s of %d bytes", m.Subject, subject.Digest, len(subject.Raw))
	}
	m = parse(t, Index([]Object{img, Attestation(1, img)}))
	if diff := cmp.Diff(&v1.Platform{Architecture: "arm", OS: "linux", Variant: "v7"}, m.Manifests[0].Platform); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&v1.Platform{Architecture: "unknown", OS: "unknown"}, m.Manifests[1].Platform); diff != "" {
		t.Error(diff)
	}
	a := m.Manifests[1].Annotations
	if a["vnd.docker.reference.digest"] != img.Digest || a["vnd.docker.reference.type"] != "attestation-manifest" {
		t.Errorf("got annotations %v, want an attestation-manifest of %s", a, img.Digest)
	}
	foreign := Image(1, 1, Foreign("https://example.com/a"))
	if l := parse(t, foreign).Layers[1]; l.MediaType != types.OCIRestrictedLayer || !slices.Equal(l.URLs, []string{"https://example.com/a"}) {
		t.Errorf("got foreign layer %+v, want media type %s and URL https://example.com/a", l, types.OCIRestrictedLayer)
	}
	if got := len(foreign.BlobDigests()); got != 2 {
		t.Errorf("%d blobs to store, want config and layer", got)
	}
	shared := Image(3, 1, Base(1))
	if img.Blobs[1].Digest != shared.Blobs[1].Digest || img.Blobs[2].Digest == shared.Blobs[2].Digest {
		t.Errorf("got layers %v and %v, want the first shared, the second not", img.BlobDigests(), shared.BlobDigests())
	}
	if m := parse(t, Image(1, 1, NoMediaType())); m.MediaType != "" {
		t.Errorf("got mediaType %q, want none", m.MediaType)
	}
	if n := len(Image(1, 1, LayerSize(100_000)).Blobs[1].Raw); n < 100_000 || n > 105_000 {
		t.Errorf("got a layer of %d bytes, want 100000 to 105000", n)
	}
}

func parse(t *testing.T, o Object) (m document) {
	t.Helper()
	if err := json.Unmarshal(o.Raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestReencodingShowsInTheDigest(t *testing.T) {
	o := Image(1, 1)
	var v map[string]any
	if err := json.Unmarshal(o.Raw, &v); err != nil {
		t.Fatal(err)
	}
	compact, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{compact, indented} {
		if Wrap(o.MediaType, raw).Digest == o.Digest {
			t.Errorf("got digest %s for an encoder's own form, want another\n%s", o.Digest, raw)
		}
	}
}

func TestCompleteAndDelete(t *testing.T) {
	for name, opts := range map[string][]Option{"olareg": nil, "permissive": {Permissive()}} {
		t.Run(name, func(t *testing.T) {
			s := New(t, opts...)
			o := MultiArch(1, 2, 1)
			s.Push(t, "r", o, "1", "2")
			if got := s.Complete(t, "r", "none"); len(got) != 1 || !strings.Contains(got[0], "manifest none in r is missing") {
				t.Errorf("got problems %q, want one: manifest none in r is missing", got)
			}
			s.DeleteTag(t, "r", "2")
			if _, _, ok := s.Manifest(t, "r", "2"); ok || len(s.Tags(t, "r")) != 1 {
				t.Errorf("got tags %v, want only 1", s.Tags(t, "r"))
			}
			s.DeleteBlob(t, "r", o.Children[0].Blobs[1].Digest)
			s.DeleteManifest(t, "r", o.Children[1].Digest)
			want := []string{
				fmt.Sprintf("blob %s in r is missing", o.Children[0].Blobs[1].Digest),
				fmt.Sprintf("manifest %s in r is missing", o.Children[1].Digest),
			}
			if diff := cmp.Diff(want, s.Complete(t, "r", "1")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			s.DeleteManifest(t, "r", o.Digest)
			if tags := s.Tags(t, "r"); len(tags) != 0 {
				t.Errorf("got tags %v, want none", tags)
			}
		})
	}
}

func TestDeletedChildIsMissedByAnIndexPut(t *testing.T) {
	s := New(t)
	o := MultiArch(1, 2, 1)
	s.Push(t, "r", o)
	s.DeleteManifest(t, "r", o.Children[0].Digest)
	ask(t, s, http.MethodPut, "/v2/r/manifests/1", string(o.Raw), "Content-Type", o.MediaType).want(t, 400)
}

func TestWrapPushesAnyBytes(t *testing.T) {
	s := New(t, Sparse())
	o := Wrap(OCIIndex, []byte(`{"schemaVersion":2,"manifests":[],"x":"\u001b"}`))
	s.Push(t, "r", o, "odd")
	if raw, _, _ := s.Manifest(t, "r", o.Digest); !bytes.Equal(raw, o.Raw) {
		t.Errorf("got stored %q, want %q", raw, o.Raw)
	}
}
