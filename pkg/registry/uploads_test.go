package registry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// If the address of an upload session is not one of an upload, nothing is written or
// deleted there.
func TestUploadAddresses(t *testing.T) {
	t.Parallel()
	const id = "0a1b"
	digest := "sha256:" + strings.Repeat("a", 64)
	for path, want := range map[string]struct{ here, there bool }{
		// As registries name them.
		"/v2/a/blobs/uploads/" + id + "?_state=x":                      {true, true},
		"/v2/a/b/blobs/upload/" + id:                                   {true, true}, // ghcr.io
		"/artifacts-uploads/namespaces/p/repositories/r/uploads/" + id: {true, true}, // Google
		"/artifactory/api/docker/local/v2/a/blobs/uploads/" + id:       {true, true},
		"/repository/docker/v2/a/blobs/uploads/" + id:                  {true, true},
		"/bucket/docker/registry/v2/blobs/data?X-Amz-Signature=x":      {false, true}, // storage
		"/v2/manifests/blobs/uploads/" + id:                            {true, true},
		// Where content is.
		"/v2/a/manifests/live":                                {false, false},
		"/v2/a/manifests/" + digest:                           {false, false},
		"/v2/a/blobs/" + digest:                               {false, false},
		"/v2/a/blobs/uploads/x/manifests/live":                {false, false},
		"/v2/a/blobs/uploads/../../manifests/live":            {false, false},
		"/v2/a/blobs/uploads/%2e%2e/%2e%2e/manifests/live":    {false, false},
		"/v2/a/blobs/uploads%2f..%2f..%2fmanifests%2flive":    {false, false},
		"/v2/a/manifests//live":                               {false, false},
		"/artifactory/api/docker/uploads/v2/a/manifests/live": {false, false},
		"/v2/a/tags/list":                                     {false, false},
		"/v2/_catalog":                                        {false, true},
		"/":                                                   {false, true},
	} {
		for _, elsewhere := range []bool{false, true} {
			t.Run(fmt.Sprint(path, " elsewhere ", elsewhere), func(t *testing.T) {
				t.Parallel()
				s, other := registrytest.New(t), registrytest.New(t)
				other.Fault(registrytest.Status(http.StatusCreated, nil, ""))
				at, ok := other, want.there
				location := other.URL + path
				if !elsewhere {
					at, ok, location = s, want.here, path
					s.Fault(registrytest.Status(http.StatusCreated, nil, ""), registrytest.Not(registrytest.Is(registrytest.Ping, registrytest.UploadPost)))
				}
				s.Fault(registrytest.Status(http.StatusAccepted, registrytest.Header("Location", location), ""), registrytest.Is(registrytest.UploadPost))
				session, err := newClient(t, registry.Options{}).Upload(t.Context(), repo(s, "a"))
				if err == nil {
					err = session.Put(t.Context(), v1.Descriptor{Digest: image.Hash(digest), Size: 1}, registry.BytesBody([]byte("x")))
					session.Cancel(t.Context())
				}
				if (err == nil) != ok {
					t.Errorf("got %v, want accepted: %t", err, ok)
				}
				var wrote []string
				for _, r := range at.Requests() {
					if r.Method == http.MethodPut || r.Method == http.MethodDelete {
						wrote = append(wrote, r.Method)
					}
				}
				if got, want := strings.Join(wrote, " "), map[bool]string{true: "PUT DELETE"}[ok && !elsewhere]; got != want && (!ok || got != "PUT") {
					t.Errorf("wrote %q, want %q\n%s", got, want, at.Summary())
				}
			})
		}
	}
}

// Writes do not follow redirects to another registry.
func TestRedirectedWrites(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	m := &registry.Manifest{Raw: img.Raw, MediaType: types.MediaType(img.MediaType), Digest: image.Hash(img.Digest)}
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s, other := registrytest.New(t), registrytest.New(t, registrytest.Sparse())
			other.Fault(registrytest.Status(http.StatusOK, nil, "<html>sign in</html>"), registrytest.Is(registrytest.ManifestGet))
			put := other.URL + "/v2/a/manifests/" + img.Digest
			s.Fault(registrytest.Status(status, registrytest.Header("Location", put), ""), registrytest.Is(registrytest.ManifestPut))
			_, err := newClient(t, registry.Options{}).Put(t.Context(), repo(s, "a"), image.Hash(img.Digest), m)
			if err == nil || !strings.Contains(err.Error(), "following a redirect of PUT") {
				t.Errorf("got %v, want a refusal to follow", err)
			}
			if n := len(other.Requests()); n > 0 {
				t.Errorf("got %d requests to another registry, want 0\n%s", n, other.Summary())
			}
		})
	}
}

// An upload succeeds with 201. After another status, the blob is looked for.
func TestUploadStatus(t *testing.T) {
	t.Parallel()
	page := registrytest.Header("Content-Type", "text/html")
	for name, tc := range map[string]struct {
		status int
		stores bool
		want   string // in the error; empty: none
	}{
		"created":             {http.StatusCreated, true, ""},
		"no content":          {http.StatusNoContent, true, ""},
		"200 that stores it":  {http.StatusOK, true, ""},
		"200 of a login page": {http.StatusOK, false, "answered 200 to the upload and does not have the blob"},
		"202":                 {http.StatusAccepted, true, "202"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			blob := registrytest.NewBlob("text/plain", []byte("blob of "+name))
			s.Fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if tc.stores {
					next.ServeHTTP(httptest.NewRecorder(), r)
				}
				registrytest.Status(tc.status, page, "")(w, r, next)
			}, registrytest.Is(registrytest.UploadPut))
			session, err := newClient(t, registry.Options{}).Upload(t.Context(), repo(s, "a"))
			if err != nil {
				t.Fatal(err)
			}
			err = session.Put(t.Context(), v1.Descriptor{Digest: image.Hash(blob.Digest), Size: int64(len(blob.Raw))}, registry.BytesBody(blob.Raw))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

// A listing that gives one tag to two digests contradicts itself: the tag is read.
func TestTagOfTwoDigestsInAListing(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	a, b := registrytest.Image(1, 1), registrytest.Image(2, 1)
	s.Push(t, "a", a, "1")
	s.Push(t, "a", b, "2")
	s.Fault(registrytest.Status(http.StatusOK, nil, `{"child":[],"tags":["1","2"],"manifest":{"`+a.Digest+`":{"tag":["1"]},"`+b.Digest+`":{"tag":["1","2"]}}}`), registrytest.Is(registrytest.Tags))
	wanted := func(yield func(v1.Hash, []string) bool) { yield(image.Hash(b.Digest), []string{"1"}) }
	have, err := newClient(t, registry.Options{}).Read(t.Context(), repo(s, "a"), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := have.Tag("1"); got != image.Hash(a.Digest) {
		t.Errorf("tag 1: got %s, want %s", got, a.Digest)
	}
	if n := s.Count(registrytest.ManifestHead); n != 1 {
		t.Errorf("HEAD requests: got %d, want 1", n)
	}
}
