package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gname "github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// show prints a snapshot as "name digest tags", with names for digests.
func show(s inventory.Snapshot, names map[string]string) []string {
	out := []string{}
	for _, img := range s {
		for _, d := range img.Digests {
			out = append(out, strings.TrimSpace(img.Name+" "+names[d.Digest.String()]+" "+strings.Join(d.Tags, ",")))
		}
	}
	slices.Sort(out)
	return out
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	nested := registrytest.Index([]registrytest.Object{registrytest.Index([]registrytest.Object{registrytest.Image(2, 1, registrytest.Platform("linux/amd64"))}), registrytest.Image(3, 1)})
	lone := registrytest.Image(4, 1)
	names := map[string]string{
		img.Digest: "img", lone.Digest: "lone", nested.Digest: "index",
		nested.Children[0].Digest: "inner", nested.Children[0].Children[0].Digest: "leaf", nested.Children[1].Digest: "child",
	}
	fill := func(t *testing.T, s *registrytest.Server) {
		s.Push(t, "prod/a", img, "1", "2")
		s.Push(t, "prod/sub/b", nested, "x")
		s.Push(t, "prod/sub/b", nested.Children[1], "tagged-child")
		s.Push(t, "prod/sub/b", lone)
		s.Push(t, "prod-other/c", img, "no")
	}
	index := []string{"sub/b child tagged-child", "sub/b index x"}
	for name, tc := range map[string]struct {
		options []registrytest.Option
		root    string
		o       registry.SnapshotOptions
		want    []string
		warns   int
	}{
		"the catalog, children as indexes name them": {
			[]registrytest.Option{registrytest.WithCatalog(), registrytest.PageSize(1)}, "/prod", registry.SnapshotOptions{},
			append([]string{"a img 1,2", "sub/b inner", "sub/b leaf"}, index...), 0,
		},
		"the catalog, minimal": {
			[]registrytest.Option{registrytest.WithCatalog()}, "/prod", registry.SnapshotOptions{Minimal: true}, append([]string{"a img 1,2"}, index...), 0,
		},
		"the catalog of a whole host": {
			[]registrytest.Option{registrytest.WithCatalog()}, "", registry.SnapshotOptions{Minimal: true},
			[]string{"prod-other/c img no", "prod/a img 1,2", "prod/sub/b child tagged-child", "prod/sub/b index x"}, 0,
		},
		"one tag, with all tags of its digest": {
			[]registrytest.Option{registrytest.WithCatalog()}, "/prod", registry.SnapshotOptions{Tag: "2"}, []string{"a img 1,2"}, 0,
		},
		"tags that are kept, by path": {
			[]registrytest.Option{registrytest.WithCatalog()}, "/prod",
			registry.SnapshotOptions{Listed: true, Paths: true, Keep: func(tag string) bool { return tag != "1" }},
			[]string{"prod/a img 2", "prod/sub/b child tagged-child", "prod/sub/b index x"}, 0,
		},
		"Google's listing of tags that are kept": {
			[]registrytest.Option{registrytest.GoogleListing()}, "/prod", registry.SnapshotOptions{Keep: func(tag string) bool { return tag == "2" }},
			[]string{"a img 2", "sub/b child", "sub/b index", "sub/b inner", "sub/b leaf", "sub/b lone"}, 0,
		},
		"Google's listing": {
			[]registrytest.Option{registrytest.GoogleListing()}, "/prod", registry.SnapshotOptions{},
			append([]string{"a img 1,2", "sub/b inner", "sub/b leaf", "sub/b lone"}, index...), 0,
		},
		"Google's listing, minimal: what no index names stays": {
			[]registrytest.Option{registrytest.GoogleListing()}, "/prod", registry.SnapshotOptions{Minimal: true},
			append([]string{"a img 1,2", "sub/b lone"}, index...), 0,
		},
		"Google's listing, by the time of the upload": {
			[]registrytest.Option{registrytest.GoogleListing()}, "/prod", registry.SnapshotOptions{Select: func(repo gname.Repository, m registry.Listed) bool {
				return strings.HasSuffix(repo.RepositoryStr(), "/a") && m.Uploaded.Time().Year() == 2020
			}}, []string{"a img 1,2"}, 0,
		},
		"the catalog, without times": {
			[]registrytest.Option{registrytest.WithCatalog()}, "/prod", registry.SnapshotOptions{Select: func(_ gname.Repository, m registry.Listed) bool {
				return !m.Uploaded.Time().IsZero()
			}}, []string{}, 0,
		},
		"no catalog: one repository, by its last element": {nil, "/prod/a", registry.SnapshotOptions{}, []string{"a img 1,2"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tc.options...)
			fill(t, s)
			root, err := image.ParseRegistry(s.Host + tc.root)
			if err != nil {
				t.Fatal(err)
			}
			var warnings []string
			got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), root, tc.o, func(w string) { warnings = append(warnings, w) })
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, show(got, names)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(warnings) != tc.warns {
				t.Errorf("got warnings %q, want %d", warnings, tc.warns)
			}
		})
	}
}

func TestSnapshotBudget(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options []registrytest.Option
		want    map[registrytest.Kind]int
	}{
		"Google":  {[]registrytest.Option{registrytest.GoogleListing()}, map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Tags: 31}},
		"catalog": {[]registrytest.Option{registrytest.WithCatalog()}, map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Catalog: 1, registrytest.Tags: 31, registrytest.ManifestHead: 60}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tc.options...)
			for i := range 30 {
				s.Push(t, fmt.Sprintf("prod/r%d", i), registrytest.Image(i, 1), "1", "2")
			}
			root := image.NewRegistry(s.Host, "prod")
			got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), root, registry.SnapshotOptions{}, func(string) {})
			if err != nil || len(got) != 30 {
				t.Fatalf("got %d images, %v, want 30", len(got), err)
			}
			for kind, n := range tc.want {
				if s.Count(kind) != n {
					t.Errorf("%s: got %d, want %d", kind, s.Count(kind), n)
				}
			}
		})
	}
}

// A repository that is listed and then 404 is empty. One that is listed twice is read once.
// The root has the name of its last element, and is not confused silently.
func TestSnapshotOfOddListings(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	for name, tc := range map[string]struct {
		option registrytest.Option
		repos  []string
		inject func(*registrytest.Server)
		want   []string
		warn   string
		lists  int // requests for tag lists
	}{
		"Google: deleted in the meantime": {registrytest.GoogleListing(), []string{"prod/a", "prod/b"}, func(s *registrytest.Server) {
			s.Fault(registrytest.Refuse(404, "NAME_UNKNOWN", "no"), registrytest.Is(registrytest.Tags), registrytest.Repo("prod/b"))
		}, []string{"a img 1"}, "", 3},
		"the catalog names one twice": {registrytest.WithCatalog(), []string{"prod/a"}, func(s *registrytest.Server) {
			s.Fault(registrytest.Status(200, registrytest.Header("Content-Type", "application/json"), `{"repositories":["prod/a","prod/a"]}`), registrytest.Is(registrytest.Catalog))
		}, []string{"a img 1"}, "", 2},
		"two have one name": {registrytest.WithCatalog(), []string{"prod", "prod/prod"}, func(*registrytest.Server) {},
			[]string{"prod img 1"}, "/prod and the repository prod below it are printed as one image", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tc.option)
			for _, r := range tc.repos {
				s.Push(t, r, img, "1")
			}
			tc.inject(s)
			var warnings []string
			got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), image.NewRegistry(s.Host, "prod"), registry.SnapshotOptions{}, func(w string) { warnings = append(warnings, w) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, show(got, map[string]string{img.Digest: "img"})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if w := strings.Join(warnings, "\n"); !strings.HasSuffix(w, tc.warn) || (w == "") != (tc.warn == "") {
				t.Errorf("got warnings %q, want %q", w, tc.warn)
			}
			if n := s.Count(registrytest.Tags); n != tc.lists {
				t.Errorf("got %d tag lists, want %d", n, tc.lists)
			}
		})
	}
}

// A snapshot is an error if a part of it cannot be read.
func TestSnapshotFailsWhole(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(*registrytest.Server){
		"one tag is denied": func(s *registrytest.Server) {
			s.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.ManifestHead), registrytest.Repo("prod/r7"))
		},
		"one list is denied": func(s *registrytest.Server) {
			s.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.Tags), registrytest.Repo("prod/r7"))
		},
		"the catalog breaks": func(s *registrytest.Server) {
			s.Fault(registrytest.Status(500, nil, ""), registrytest.Is(registrytest.Catalog))
		},
		"the ping is denied": func(s *registrytest.Server) { s.Fault(registrytest.Refuse(401, "UNAUTHORIZED", "no")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, registrytest.WithCatalog())
			for i := range 10 {
				s.Push(t, fmt.Sprintf("prod/r%d", i), registrytest.Image(i, 1), "1")
			}
			inject(s)
			got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), image.NewRegistry(s.Host, "prod"), registry.SnapshotOptions{}, func(string) {})
			if err == nil || got != nil {
				t.Errorf("got %d images, %v, want an error", len(got), err)
			}
		})
	}
}

// Without a catalog, the repositories of a host are unknown.
func TestSnapshotOfNothingListed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ prefix, want string }{
		"a whole host":       {"", ""},
		"no such repository": {"deleted", ", and %s/deleted is not found (404 NAME_UNKNOWN)"},
		"an empty list":      {"prod", ", and %s/prod has no tags: the repositories at or below it are unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Fault(registrytest.Refuse(404, "NAME_UNKNOWN", ""), registrytest.Repo("deleted"))
			root := image.NewRegistry(s.Host, tc.prefix)
			want := fmt.Sprintf("reading registry %s: the registry lists no repositories", root) + strings.ReplaceAll(tc.want, "%s", s.Host)
			got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), root, registry.SnapshotOptions{}, func(string) {})
			if err == nil || got != nil || err.Error() != want {
				t.Errorf("got %d images, %v, want %s", len(got), err, want)
			}
		})
	}
}

// A catalog can be empty or incomplete, because an account may read repositories that
// are not in its catalog.
func TestSnapshotOfAHidingCatalog(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	names := map[string]string{img.Digest: "img"}
	for name, tc := range map[string]struct {
		catalog, prefix string
		want            []string
		err             string
		warns           int
	}{
		"empty, of a repository":                   {`[]`, "my/repo/app", []string{"app img 1.0"}, "", 1},
		"null, of a repository":                    {`null`, "my/repo/app", []string{"app img 1.0"}, "", 1},
		"others, of a repository":                  {`["other"]`, "my/repo/app", []string{"app img 1.0"}, "", 1},
		"those below, of a repository":             {`["my/repo/app/sub"]`, "my/repo/app", []string{"app img 1.0", "sub img 2"}, "", 1},
		"the repository":                           {`["my/repo/app"]`, "my/repo/app", []string{"app img 1.0"}, "", 0},
		"empty, of a path":                         {`[]`, "my/repo", nil, "the registry's catalog is empty, and", 0},
		"empty, of a path that has an empty list":  {`[]`, "my/none", nil, "the registry's catalog is empty, and", 0},
		"others, of a path":                        {`["other"]`, "my/repo", []string{}, "", 1},
		"empty, of a host: it cannot be read else": {`[]`, "", []string{}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Push(t, "my/repo/app", img, "1.0")
			s.Push(t, "my/repo/app/sub", img, "2")
			s.Fault(registrytest.Refuse(404, "NAME_UNKNOWN", "no"), registrytest.Is(registrytest.Tags), registrytest.Repo("my/repo"))
			s.Fault(registrytest.Status(200, nil, `{"repositories":`+tc.catalog+`}`), registrytest.Is(registrytest.Catalog))
			warnings := 0
			root := image.NewRegistry(s.Host, tc.prefix)
			got, err := newClient(t, registry.Options{}).Snapshot(t.Context(), root, registry.SnapshotOptions{}, func(string) { warnings++ })
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("got error %v, want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, show(got, names)); err == nil && diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if warnings != tc.warns {
				t.Errorf("got %d warnings, want %d", warnings, tc.warns)
			}
		})
	}
}
