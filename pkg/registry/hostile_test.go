package registry_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// A repository with a million tags needs memory only for the wanted ones.
func TestMillionTags(t *testing.T) {
	const perPage, pages = 10_000, 100
	var most atomic.Uint64
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	s := registrytest.New(t)
	s.Fault(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		page, _ := strconv.Atoi(r.URL.Query().Get("last")) // the first has none
		if page%20 == 0 {
			most.Store(max(most.Load(), heap()))
		}
		if page+1 < pages {
			w.Header().Set("Link", fmt.Sprintf(`</v2/a/tags/list?last=%d>; rel="next"`, page+1))
		}
		fmt.Fprint(w, `{"name":"a","tags":["`)
		for i := range perPage {
			if i > 0 {
				fmt.Fprint(w, `","`)
			}
			fmt.Fprintf(w, "v%d", page*perPage+i)
		}
		fmt.Fprint(w, `"]}`)
	}, registrytest.Is(registrytest.Tags))
	c := newClient(t, registry.Options{})
	before := heap()
	got, err := c.List(t.Context(), repo(s, "a"), func(tag string) bool { return strings.HasSuffix(tag, "99999") })
	if err != nil || len(got.Tags) != 10 {
		t.Fatalf("got %d tags, %v, want 10", len(got.Tags), err)
	}
	if n := s.Count(registrytest.Tags); n != pages {
		t.Errorf("%d pages, want %d", n, pages)
	}
	const bound = 8 << 20 // a million names of 7 bytes take some 24 MB
	if grown := int64(most.Load()) - int64(before); grown > bound {
		t.Errorf("the heap grew by %d bytes, want at most %d", grown, bound)
	}
}

// It is an error if two parsers could read a document differently.
func TestDocumentsOfTwoReadings(t *testing.T) {
	t.Parallel()
	zeros := "sha256:" + strings.Repeat("0", 64)
	img := string(registrytest.Image(1, 1).Raw)
	index := registrytest.Header("Content-Type", registrytest.OCIIndex)
	for name, tc := range map[string]struct {
		kind registrytest.Kind
		body string
		read func(*testing.T, *registry.Client, name.Repository) error
	}{
		"a manifest":                         {registrytest.ManifestGet, strings.Replace(img, `"config"`, `"Config":{},"config"`, 1), readManifest},
		"a layer":                            {registrytest.ManifestGet, strings.Replace(img, `"size"`, `"Size":1,"size"`, 1), readManifest},
		"an index":                           {registrytest.ManifestGet, `{"schemaVersion":2,"manifests":[],"manifests":[]}`, readManifest},
		"a tag list":                         {registrytest.Tags, `{"tags":["1"],"Tags":["2"]}`, readTags},
		"what is skipped in a tag list":      {registrytest.Tags, `{"x":{"a":1,"a":2},"tags":["1"]}`, readTags},
		"a digest twice in Google's listing": {registrytest.Tags, `{"manifest":{"` + zeros + `":{},"` + zeros + `":{}}}`, readTags},
		"a tag twice in Google's listing":    {registrytest.Tags, `{"manifest":{"` + zeros + `":{"tag":["1"],"tag":["2"]}}}`, readTags},
		"a catalog": {registrytest.Catalog, `{"repositories":["a"],"repositories":[]}`, func(t *testing.T, c *registry.Client, r name.Repository) error {
			_, err := c.Snapshot(t.Context(), image.NewRegistry(r.RegistryStr(), ""), registry.SnapshotOptions{}, func(string) {})
			return err
		}},
		"a list of referrers": {registrytest.Referrers, `{"schemaVersion":2,"manifests":[],"MANIFESTS":[]}`, func(t *testing.T, c *registry.Client, r name.Repository) error {
			_, err := c.Referrers(t.Context(), r, image.Hash(zeros), func(string) bool { return false })
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Fault(registrytest.Status(200, index, tc.body), registrytest.Is(tc.kind))
			if err := tc.read(t, newClient(t, registry.Options{}), repo(s, "a")); err == nil || !strings.Contains(err.Error(), "is repeated") && !strings.Contains(err.Error(), "twice") {
				t.Errorf("got %v, want an error that names the key", err)
			}
		})
	}
}

func readManifest(t *testing.T, c *registry.Client, r name.Repository) error {
	_, err := c.Manifest(t.Context(), r, "1")
	return err
}

func readTags(t *testing.T, c *registry.Client, r name.Repository) error {
	_, err := c.List(t.Context(), r, nil)
	return err
}

// A registry cannot redirect to the link-local addresses of cloud metadata servers.
func TestRegistrySendsNobodyToTheMetadataServer(t *testing.T) {
	for name, target := range map[string]string{
		"an address": "http://169.254.169.254", "its IPv6 form": "http://[fe80::1]", "mapped into IPv6": "http://[::ffff:169.254.169.254]",
	} {
		for step, tc := range map[string]struct {
			fault func(to string) registrytest.Fault
			kind  registrytest.Kind
		}{
			"realm": {func(to string) registrytest.Fault {
				return registrytest.Status(401, registrytest.Header("WWW-Authenticate", `Bearer realm="`+to+`/token"`), "")
			}, registrytest.Ping},
			"redirect": {registrytest.Redirect, registrytest.ManifestHead},
		} {
			t.Run(step+" to "+name, func(t *testing.T) {
				s := registrytest.New(t)
				dockerConfig(t, s.Host, "me", "secret")
				s.Fault(tc.fault(target), registrytest.Is(tc.kind))
				_, state, err := newClient(t, registry.Options{}).Resolve(t.Context(), repo(s, "a"), "1")
				if state != inventory.Unknown || err == nil || !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "this machine's link") {
					t.Errorf("got %s, %v, want %s, and an error that it is refused or of this machine's link", state, err, inventory.Unknown)
				}
			})
		}
	}
}
