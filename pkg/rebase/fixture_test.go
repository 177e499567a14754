package rebase

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// The layers of the old and the new base. They share the first layer.
var oldLayers, newLayers = []int{1, 2}, []int{1, 3, 4}

// baseImage returns a run image with the given layers.
func baseImage(seed int, layers []int, opts ...registrytest.BuildOption) registrytest.Object {
	return registrytest.Image(seed, 0, slices.Concat([]registrytest.BuildOption{registrytest.Base(layers...)}, opts)...)
}

// appImage returns an app with two layers of its own on top of a base. Its label
// names runImage.
func appImage(seed int, on registrytest.Object, layers []int, runImage string, opts ...registrytest.BuildOption) registrytest.Object {
	ids := on.DiffIDs()
	label := lifecycle(ids[len(ids)-1], runImage)
	return registrytest.Image(seed, 2, slices.Concat([]registrytest.BuildOption{
		registrytest.Base(layers...), registrytest.Label(lifecycleLabel, label), registrytest.Env("CNB_PLATFORM_API=0.12"),
	}, opts)...)
}

// lifecycle returns a lifecycle label. It has numbers and members that decoding into
// structs would lose.
func lifecycle(topLayer, runImage string, mirrors ...string) string {
	if mirrors == nil {
		mirrors = []string{}
	}
	list, _ := json.Marshal(mirrors)
	return `{"app":[{"sha":"sha256:a"}],"weight":1.10e2,"<unknown>":{"b":[1.0,null]},"buildpacks":[{"key":"x","layers":{"l":{"sha":"sha256:b"}}}],` +
		`"runImage":{"topLayer":"` + topLayer + `","reference":"registry.example/run@sha256:old","image":"` + runImage + `","mirrors":` + string(list) + `,"more":9007199254740993}}`
}

// newClient returns a client without credentials.
func newClient(t *testing.T) *registry.Client {
	t.Helper()
	c, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ref parses a reference, or fails the test.
func ref(t *testing.T, s string) Reference {
	t.Helper()
	r, err := ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rebaseTo rebases app and saves it under names. If app is empty, it is the first
// of names.
func rebaseTo(t *testing.T, app string, o Options, names ...string) (*Result, []Name) {
	t.Helper()
	if app == "" {
		app = names[0]
	}
	c := newClient(t)
	res, err := NewReader(c).Rebase(t.Context(), ref(t, app), o)
	if err != nil {
		t.Fatal(err)
	}
	var refs []Reference
	for _, n := range names {
		refs = append(refs, ref(t, n))
	}
	saved := Survey(t.Context(), c, res, refs)
	_, notes := Push(t.Context(), c, res, saved)
	res.Notes = append(res.Notes, notes...)
	return res, saved
}

// refused rebases app and returns the error. It fails the test if there is no
// error, or if anything was written.
func refused(t *testing.T, s *registrytest.Server, app string, o Options) string {
	t.Helper()
	_, err := NewReader(newClient(t)).Rebase(t.Context(), ref(t, app), o)
	if err == nil {
		t.Fatal("got no error, want one")
	}
	if w := s.Writes(); len(w) > 0 {
		t.Errorf("got writes %v, want none", w)
	}
	return err.Error()
}

// checkRequests fails the test unless the server got exactly the given numbers of
// requests. Pings are not counted.
func checkRequests(t *testing.T, s *registrytest.Server, want map[registrytest.Kind]int) {
	t.Helper()
	total := s.Count(registrytest.Ping)
	for kind, n := range want {
		total += n
		if got := s.Count(kind); got != n {
			t.Errorf("%s requests: got %d, want %d", kind, got, n)
		}
	}
	if got := len(s.Requests()); got != total {
		t.Errorf("all requests: got %d, want %d\n%s", got, total, s.Summary())
	}
}

// view has the parts of an image that tests compare.
type view struct {
	Manifest struct {
		MediaType types.MediaType `json:"mediaType"`
		Config    struct {
			MediaType    types.MediaType
			Digest, Data string
		} `json:"config"`
		Layers []struct {
			MediaType types.MediaType
			Digest    string
		} `json:"layers"`
		Annotations map[string]string `json:"annotations"`
	}
	Config struct {
		OS, Architecture, Variant, Created string
		Config                             struct {
			Labels map[string]string
			Env    []string
		} `json:"config"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []struct {
			Created   string `json:"created"`
			CreatedBy string `json:"created_by"`
			Empty     bool   `json:"empty_layer"`
		} `json:"history"`
	}
}

// decode decodes the manifest and the configuration of an image of a result.
func decode(t *testing.T, img Image) view {
	t.Helper()
	var v view
	if err := json.Unmarshal(img.Manifest.Raw, &v.Manifest); err != nil {
		t.Fatal(err)
	}
	for _, b := range img.blobs {
		if b.from == (name.Repository{}) {
			if err := json.Unmarshal(b.raw, &v.Config); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}

// contains fails the test unless text contains every part.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("got %q, want it to contain %q", text, p)
		}
	}
}
