package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A referrer is listed by the API where there is one, and else under the fallback tag.
func TestPutReferrer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options []registrytest.Option
		tag     bool
	}{
		"referrers API": {nil, false},
		"none":          {[]registrytest.Option{registrytest.NoReferrers()}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tc.options...)
			subject := registrytest.Image(1, 1)
			s.Push(t, "a", subject)
			c := newClient(t, registry.Options{})
			var all sync.WaitGroup
			want := map[string]bool{}
			for i := range 8 { // at the same time
				o := registrytest.Artifact(10+i, "application/vnd.example.sbom", registrytest.Subject(subject))
				for _, b := range o.Blobs {
					s.PushBlob(t, "a", b)
				}
				want[o.Digest] = true
				all.Go(func() {
					for range 2 { // the second time it is listed already
						if err := c.PutReferrer(t.Context(), repo(s, "a"), manifestOf(o)); err != nil {
							t.Errorf("got %v, want no error", err)
						}
					}
				})
			}
			all.Wait()
			tag := registry.FallbackTag(image.Hash(subject.Digest))
			if _, has := s.Tags(t, "a")[tag]; has != tc.tag {
				t.Errorf("got fallback tag %t, want %t", has, tc.tag)
			}
			got, err := c.Referrers(t.Context(), repo(s, "a"), image.Hash(subject.Digest), func(string) bool { return true })
			if err != nil || len(got) != len(want) {
				t.Fatalf("got %d referrers, %v, want %d", len(got), err, len(want))
			}
			for _, d := range got {
				if !want[d.Digest.String()] || d.ArtifactType != "application/vnd.example.sbom" {
					t.Errorf("got %s of type %q, want one of the artifacts with its type", d.Digest, d.ArtifactType)
				}
			}
		})
	}
}

// Entries of another client stay, also if it writes the tag at the same time.
func TestPutReferrerKeepsOthers(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t, registrytest.NoReferrers())
	subject := registrytest.Image(1, 1)
	s.Push(t, "a", subject)
	tag := registry.FallbackTag(image.Hash(subject.Digest))
	foreign := registrytest.Artifact(2, "application/vnd.example.sbom", registrytest.Subject(subject))
	ours := registrytest.Artifact(3, "application/vnd.example.sbom", registrytest.Subject(subject))
	s.Push(t, "a", foreign)
	for _, b := range ours.Blobs {
		s.PushBlob(t, "a", b)
	}
	var once sync.Once
	s.Fault(registrytest.Before(func(*http.Request) {
		once.Do(func() { s.Push(t, "a", registrytest.Index([]registrytest.Object{foreign}), tag) })
	}), registrytest.Is(registrytest.ManifestHead), registrytest.Ref(tag))
	if err := newClient(t, registry.Options{}).PutReferrer(t.Context(), repo(s, "a"), manifestOf(ours)); err != nil {
		t.Fatalf("got %v, want no error", err)
	}
	raw, _, _ := s.Manifest(t, "a", tag)
	var index struct{ Manifests []v1.Descriptor }
	if err := json.Unmarshal(raw, &index); err != nil || len(index.Manifests) != 2 {
		t.Errorf("got %s, %v, want both referrers", raw, err)
	}
}

// A fallback tag that points to an image is not the list of its referrers, and stays.
func TestPutReferrerRefusesImage(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t, registrytest.NoReferrers())
	subject := registrytest.Image(1, 1)
	tag := registry.FallbackTag(image.Hash(subject.Digest))
	s.Push(t, "a", subject, tag)
	ours := registrytest.Artifact(3, "application/vnd.example.sbom", registrytest.Subject(subject))
	for _, b := range ours.Blobs {
		s.PushBlob(t, "a", b)
	}
	err := newClient(t, registry.Options{}).PutReferrer(t.Context(), repo(s, "a"), manifestOf(ours))
	if err == nil || !strings.Contains(err.Error(), "is an image, not a list of referrers") {
		t.Errorf("got %v, want that the tag is an image", err)
	}
	if raw, _, _ := s.Manifest(t, "a", tag); string(raw) != string(subject.Raw) {
		t.Errorf("got %s under the tag, want the image", raw)
	}
}

func manifestOf(o registrytest.Object) *registry.Manifest {
	return &registry.Manifest{Digest: image.Hash(o.Digest), MediaType: types.MediaType(o.MediaType), Raw: o.Raw}
}

// What PutReferrer writes, another client finds, whatever the referrers API answers. If
// nobody could find it, HasReferrersAPI fails before.
func TestReferrerIsFound(t *testing.T) {
	t.Parallel()
	answer := func(status int, contentType, body string) registrytest.Fault {
		return registrytest.Status(status, registrytest.Header("Content-Type", contentType), body)
	}
	const text, list = "text/html", registrytest.OCIIndex
	for name, tc := range map[string]struct {
		answer registrytest.Fault // nil: that of the registry
		err    string             // of HasReferrersAPI
	}{
		"its own":                       {nil, ""},
		"400":                           {registrytest.Refuse(400, "UNSUPPORTED", "no"), ""},
		"404":                           {registrytest.Refuse(404, "NOT_FOUND", "no"), ""},
		"405":                           {registrytest.Refuse(405, "UNSUPPORTED", "no"), ""},
		"406":                           {registrytest.Refuse(406, "UNSUPPORTED", "no"), ""},
		"501":                           {registrytest.Refuse(501, "UNSUPPORTED", "no"), ""},
		"a page":                        {answer(200, text, "<html></html>"), ""},
		"JSON of another type":          {answer(200, "application/json", `{"schemaVersion":2,"manifests":[]}`), ""},
		"nothing":                       {answer(200, "", ""), ""},
		"a list that is a page":         {answer(200, list, "<html></html>"), "parsing the list"},
		"a list that is empty, 0 bytes": {answer(200, list, ""), "parsing the list"},
		"401":                           {registrytest.Refuse(401, "UNAUTHORIZED", "no"), "401 UNAUTHORIZED"},
		"403":                           {registrytest.Refuse(403, "DENIED", "no"), "403 DENIED"},
		"500":                           {registrytest.Refuse(500, "UNKNOWN", "no"), "500 UNKNOWN"},
		"204":                           {answer(204, "", ""), "204"},
	} {
		for kind, options := range map[string][]registrytest.Option{"confirms": nil, "does not confirm": {registrytest.NoReferrers()}} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				s := registrytest.New(t, options...)
				subject := registrytest.Image(1, 1)
				s.Push(t, "a", subject)
				if tc.answer != nil {
					s.Fault(tc.answer, registrytest.Is(registrytest.Referrers))
				}
				c, at := newClient(t, registry.Options{}), image.Hash(subject.Digest)
				wantAPI := tc.answer == nil && kind == "confirms"
				api, err := c.HasReferrersAPI(t.Context(), repo(s, "a"), at)
				if api != wantAPI || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got API %t, %v, want %t and error %q", api, err, wantAPI, tc.err)
				}
				_, unread := newClient(t, registry.Options{}).ReferrersOrTag(t.Context(), repo(s, "a"), at)
				if (unread != nil) != (tc.err != "") {
					t.Fatalf("reading: got %v, want an error as of HasReferrersAPI: %v", unread, err)
				}
				if tc.err != "" {
					return
				}
				o := registrytest.Artifact(2, "application/vnd.example.sbom", registrytest.Subject(subject))
				for _, b := range o.Blobs {
					s.PushBlob(t, "a", b)
				}
				if err := c.PutReferrer(t.Context(), repo(s, "a"), manifestOf(o)); err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				got, err := newClient(t, registry.Options{}).ReferrersOrTag(t.Context(), repo(s, "a"), at)
				if err != nil || len(got) != 1 || got[0].Digest.String() != o.Digest {
					t.Errorf("got %+v, %v, want %s", got, err, o.Digest)
				}
			})
		}
	}
}

// A list of referrers or signatures that is full is not made longer: nobody could read it.
func TestFullListsAreKept(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t, registrytest.NoReferrers(), registrytest.Sparse())
	subject := registrytest.Image(1, 1)
	s.Push(t, "a", subject)
	listed := make([]registrytest.Object, registry.MaxChildren)
	for i := range listed {
		listed[i] = registrytest.Wrap(registrytest.OCIManifest, fmt.Append(nil, i))
	}
	full := registrytest.Index(listed)
	full.Children = nil
	tag := registry.FallbackTag(image.Hash(subject.Digest))
	s.Push(t, "a", full, tag)
	one := registrytest.Artifact(2, "application/vnd.example.sbom", registrytest.Subject(subject))
	for _, b := range one.Blobs {
		s.PushBlob(t, "a", b)
	}
	c := newClient(t, registry.Options{})
	const limit = "it has 4097 descriptors, the limit is 4096"
	if err := c.PutReferrer(t.Context(), repo(s, "a"), manifestOf(one)); err == nil || !strings.Contains(err.Error(), limit) {
		t.Errorf("adding a referrer: got %v, want %q", err, limit)
	}
	if got := s.Tags(t, "a")[tag]; got != full.Digest {
		t.Errorf("the fallback tag: got %s, want %s as before", got, full.Digest)
	}

	layers := make([]registrytest.Blob, registry.MaxChildren-1) // and the config
	for i := range layers {
		layers[i] = registrytest.NewBlob(registrytest.SignaturePayload, fmt.Append(nil, i))
	}
	signatures := registrytest.Signatures(layers)
	s.PushBlob(t, "a", signatures.Blobs[0])
	more, err := registry.NewLayer(v1.Descriptor{MediaType: image.CosignSimpleSigning, Digest: image.Hash(subject.Digest), Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddLayers(t.Context(), repo(s, "a"), manifestOf(signatures), []registry.Layer{more}); err == nil || !strings.Contains(err.Error(), limit) {
		t.Errorf("adding a layer: got %v, want %q", err, limit)
	}
}
