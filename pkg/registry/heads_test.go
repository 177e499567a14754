package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// An answer 200 is an error if it is not a manifest, by tag and by digest.
func TestOnlyAManifestIsOne(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	zeros := "sha256:" + strings.Repeat("0", 64)
	const oci = registrytest.OCIManifest
	answer := func(mediaType, digest, body string) registrytest.Fault {
		h := http.Header{}
		if mediaType != "" {
			h.Set("Content-Type", mediaType)
		}
		if digest != "" {
			h.Set("Docker-Content-Digest", digest)
		}
		return registrytest.Status(200, h, body)
	}
	for name, tc := range map[string]struct {
		fault       registrytest.Fault // of HEAD and GET
		tag, digest inventory.State
		gets        int // for the tag
	}{
		"a manifest":                     {answer(oci, img.Digest, string(img.Raw)), inventory.Present, inventory.Present, 0},
		"no digest":                      {answer(oci, "", string(img.Raw)), inventory.Present, inventory.Present, 1},
		"another type":                   {answer("application/json", img.Digest, string(img.Raw)), inventory.Present, inventory.Present, 1},
		"no type":                        {answer("", img.Digest, string(img.Raw)), inventory.Present, inventory.Present, 1},
		"a type with parameters":         {answer(oci+"; charset=utf-8", img.Digest, string(img.Raw)), inventory.Present, inventory.Present, 0},
		"a page":                         {registrytest.LoginPage(), inventory.Unknown, inventory.Unknown, 1},
		"a page with a digest":           {answer("text/html", img.Digest, "<html>"), inventory.Unknown, inventory.Unknown, 1},
		"a page with a manifest's type":  {answer(oci, "", "<html>"), inventory.Unknown, inventory.Unknown, 1},
		"nothing":                        {answer("", "", ""), inventory.Unknown, inventory.Unknown, 1},
		"JSON":                           {answer("application/json", "", `{"status":"ok"}`), inventory.Unknown, inventory.Unknown, 1},
		"an empty object":                {answer(oci, "", `{}`), inventory.Unknown, inventory.Unknown, 1},
		"an object served as index":      {answer(registrytest.OCIIndex, "", `{"schemaVersion":2}`), inventory.Unknown, inventory.Unknown, 1},
		"an index without its list":      {answer(registrytest.OCIIndex, "", `{"schemaVersion":2,"mediaType":"`+registrytest.OCIIndex+`"}`), inventory.Unknown, inventory.Unknown, 1},
		"a Docker list without its list": {answer("", "", `{"schemaVersion":2,"mediaType":"`+registrytest.DockerList+`"}`), inventory.Unknown, inventory.Unknown, 1},
		"an index with null":             {answer("", "", `{"schemaVersion":2,"mediaType":"`+registrytest.OCIIndex+`","manifests":null}`), inventory.Unknown, inventory.Unknown, 1},
		"a manifest of another type":     {answer(oci, "", `{"schemaVersion":2,"mediaType":"text/html","config":{}}`), inventory.Unknown, inventory.Unknown, 1},
		"keys that differ in case":       {answer("", "", strings.Replace(string(img.Raw), `"layers"`, `"Layers":[],"layers"`, 1)), inventory.Unknown, inventory.Unknown, 1},
		"another digest than asked for":  {answer(oci, zeros, string(img.Raw)), inventory.Present, inventory.Present, 0},
		"a manifest of another digest":   {answer(oci, zeros, string(registrytest.Image(2, 1).Raw)), inventory.Present, inventory.Unknown, 0},
		"a digest that is not a sha-256": {answer(oci, "sha512:"+strings.Repeat("0", 128), string(img.Raw)), inventory.Present, inventory.Present, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Fault(tc.fault, registrytest.Is(registrytest.ManifestHead, registrytest.ManifestGet))
			c := newClient(t, registry.Options{})
			d, got, err := c.Resolve(t.Context(), repo(s, "a"), "1")
			if got != tc.tag || (err != nil) != (got == inventory.Unknown) {
				t.Errorf("tag: got %s (%v), want %s", got, err, tc.tag)
			}
			if want := image.Hash(img.Digest); tc.gets > 0 && got == inventory.Present && d != want {
				t.Errorf("tag: got %s, want %s", d, want)
			}
			if n := s.Count(registrytest.ManifestGet); n != tc.gets {
				t.Errorf("tag: got %d GETs, want %d\n%s", n, tc.gets, s.Summary())
			}
			got, err = c.Has(t.Context(), repo(s, "a"), image.Hash(img.Digest))
			if got != tc.digest || (err != nil) != (got == inventory.Unknown) {
				t.Errorf("digest: got %s (%v), want %s", got, err, tc.digest)
			}
			if m, err := c.Manifest(t.Context(), repo(s, "a"), "1"); (err == nil) != (tc.tag == inventory.Present) {
				t.Errorf("reading it: got %+v, %v, want it read: %t", m, err, tc.tag == inventory.Present)
			}
		})
	}
}

// The media type is that in the manifest, else that of the answer, else one that fits the fields.
func TestMediaTypes(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1, registrytest.NoMediaType())
	index := registrytest.Index([]registrytest.Object{img}, registrytest.NoMediaType())
	typed := registrytest.Image(1, 1, registrytest.Docker())
	for name, tc := range map[string]struct {
		object       registrytest.Object
		served, want string
	}{
		"the document's":            {typed, registrytest.OCIManifest, registrytest.DockerManifest},
		"the answer's":              {index, registrytest.DockerList, registrytest.DockerList},
		"an index served as text":   {index, "text/plain", registrytest.OCIIndex},
		"an image served as text":   {img, "text/plain", registrytest.OCIManifest},
		"an image without any type": {img, "", registrytest.OCIManifest},
		"an index of nothing":       {registrytest.Index(nil), "", registrytest.OCIIndex},
		"an image served as index":  {img, registrytest.OCIIndex, ""},
		"an index served as image":  {index, registrytest.OCIManifest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Fault(registrytest.Status(200, http.Header{"Content-Type": {tc.served}}, string(tc.object.Raw)), registrytest.Is(registrytest.ManifestGet))
			m, err := newClient(t, registry.Options{}).Manifest(t.Context(), repo(s, "a"), tc.object.Digest)
			if (err == nil) != (tc.want != "") || err == nil && string(m.MediaType) != tc.want {
				t.Errorf("got %+v, %v, want %q", m, err, tc.want)
			}
		})
	}
}

// A GET confirms a 404 to HEAD if other answers contradict it, or if there are none.
func TestHeadThatFindsNothing(t *testing.T) {
	t.Parallel()
	img, other := registrytest.Image(1, 1), registrytest.Image(2, 1)
	type step struct {
		do   func(*testing.T, *registry.Client, name.Repository) (inventory.State, error)
		want inventory.State
		gets int
	}
	resolve := func(tag string, want inventory.State, gets int) step {
		return step{func(t *testing.T, c *registry.Client, r name.Repository) (inventory.State, error) {
			_, s, err := c.Resolve(t.Context(), r, tag)
			return s, err
		}, want, gets}
	}
	has := func(digest string, want inventory.State, gets int) step {
		return step{func(t *testing.T, c *registry.Client, r name.Repository) (inventory.State, error) {
			s, err := c.Has(t.Context(), r, image.Hash(digest))
			return s, err
		}, want, gets}
	}
	read := func(digest, tag string, want inventory.State, gets int) step {
		return step{func(t *testing.T, c *registry.Client, r name.Repository) (inventory.State, error) {
			have, err := c.Read(t.Context(), r, func(yield func(v1.Hash, []string) bool) { yield(image.Hash(digest), []string{tag}) })
			if err != nil {
				return inventory.Unknown, err
			}
			_, s := have.Tag(tag)
			return s, nil
		}, want, gets}
	}
	for name, tc := range map[string]struct {
		broken bool
		steps  []step
	}{
		"a host with a broken HEAD, without a list": {true, []step{resolve("1", inventory.Present, 1), resolve("none", inventory.Absent, 1), has(img.Digest, inventory.Present, 1)}},
		"a tag that the list names":                 {true, []step{read(img.Digest, "1", inventory.Present, 1), resolve("2", inventory.Present, 1), has(other.Digest, inventory.Absent, 1)}},
		"a tag that the list does not name":         {true, []step{read(other.Digest, "3", inventory.Absent, 0), resolve("3", inventory.Absent, 0)}},
		"a host that has found nothing so far":      {false, []step{resolve("none", inventory.Absent, 1), resolve("no", inventory.Absent, 1)}},
		"a host that has found something":           {false, []step{resolve("1", inventory.Present, 0), resolve("none", inventory.Absent, 0)}},
		"a digest costs no GET on an honest host":   {false, []step{has(other.Digest, inventory.Absent, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Push(t, "a", img, "1", "2")
			if tc.broken {
				s.HeadNotFound()
			}
			c := newClient(t, registry.Options{})
			for i, step := range tc.steps {
				s.Reset()
				got, err := step.do(t, c, repo(s, "a"))
				if got != step.want || err != nil {
					t.Errorf("step %d: got %s (%v), want %s", i, got, err, step.want)
				}
				if n := s.Count(registrytest.ManifestGet); n != step.gets {
					t.Errorf("step %d: got %d GETs, want %d\n%s", i, n, step.gets, s.Summary())
				}
			}
		})
	}
}

// statuses is the absent-status of every repository. It implements registry.Sites.
type statuses []int

func (statuses) Account(name.Repository) string       { return "" }
func (s statuses) AbsentStatus(name.Repository) []int { return s }

// A status in absent-status does not hide a tag that is in the tag list.
func TestAbsentStatusAgainstTheList(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	s := registrytest.New(t)
	s.Push(t, "a", img, "1")
	s.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.ManifestHead, registrytest.ManifestGet))
	c := newClient(t, registry.Options{Sites: statuses{403}})
	_, err := c.Read(t.Context(), repo(s, "a"), func(yield func(v1.Hash, []string) bool) { yield(image.Hash(img.Digest), []string{"1"}) })
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v, want an error that names the status", err)
	}
}

// Snapshots are complete even if HEAD finds nothing on a host.
func TestSnapshotWithoutHead(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t, registrytest.WithCatalog())
	img, index := registrytest.Image(1, 1), registrytest.MultiArch(2, 2, 1)
	s.Push(t, "prod/a", img, "1")
	s.Push(t, "prod/b", index, "2")
	root := image.NewRegistry(s.Host, "prod")
	want, err := newClient(t, registry.Options{}).Snapshot(t.Context(), root, registry.SnapshotOptions{}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	s.HeadNotFound()
	got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), root, registry.SnapshotOptions{}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The error for a signed schema 1 image says so, by tag and by digest.
func TestSignedSchema1(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	digest, answer := registrytest.SignedSchema1("a", "old")
	s.Fault(registrytest.Answer(func(*http.Request) *registrytest.Response { return &answer }), registrytest.Is(registrytest.ManifestGet, registrytest.ManifestHead))
	c := newClient(t, registry.Options{})
	for _, ref := range []string{"old", digest} {
		_, err := c.Manifest(t.Context(), repo(s, "a"), ref)
		if err == nil || !strings.Contains(err.Error(), "schema 1") {
			t.Errorf("%s: got %v, want an error that names schema 1", ref, err)
		}
	}
	if n := s.Count(registrytest.ManifestGet); n != 2 {
		t.Errorf("got %d GETs, want 2: it is not read again", n)
	}
	if got, state, err := c.Resolve(t.Context(), repo(s, "a"), "old"); got.String() != digest || state != inventory.Present {
		t.Errorf("got %s %s (%v), want %s", got, state, err, digest)
	}
}

// The size of a blob is that in the registry, not that in the descriptor.
func TestBlobSize(t *testing.T) {
	t.Parallel()
	blob := registrytest.Image(1, 1).Blobs[1]
	size := int64(len(blob.Raw))
	head := registrytest.Is(registrytest.BlobHead)
	for name, tc := range map[string]struct {
		declared int64
		fault    registrytest.Fault
		when     registrytest.Match
		gets     int
		err      string
	}{
		"as declared":            {size, nil, nil, 0, ""},
		"another":                {size + 1, nil, nil, 1, ""},
		"HEAD has no length":     {size, registrytest.EditResponse(func(_ int, h http.Header) { h.Del("Content-Length") }), head, 1, ""},
		"HEAD has a length of 0": {size, registrytest.Status(200, registrytest.Header("Content-Length", "0"), ""), head, 1, ""},
		"HEAD finds nothing":     {size, registrytest.Status(404, nil, ""), head, 1, ""},
		"HEAD is refused":        {size, registrytest.Status(405, nil, ""), head, 1, ""},
		"not there":              {size, registrytest.Status(404, nil, ""), registrytest.Is(registrytest.BlobHead, registrytest.BlobGet), 1, "not found"},
		"refused":                {size, registrytest.Status(403, nil, ""), registrytest.Is(registrytest.BlobHead, registrytest.BlobGet), 1, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.PushBlob(t, "a", blob)
			if tc.fault != nil {
				s.Fault(tc.fault, tc.when)
			}
			got, err := newClient(t, registry.Options{}).BlobSize(t.Context(), repo(s, "a"), v1.Descriptor{Digest: image.Hash(blob.Digest), Size: tc.declared})
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("got error %v, want %q", err, tc.err)
			}
			if err == nil && got != size {
				t.Errorf("got %d bytes, want %d", got, size)
			}
			if n := s.Count(registrytest.BlobGet); n != tc.gets {
				t.Errorf("got %d GETs, want %d", n, tc.gets)
			}
		})
	}
}
