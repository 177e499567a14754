package promote_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// native writes a native file: name, source tag and wanted tag of each entry.
func native(host string, entries ...[3]string) string {
	var b strings.Builder
	b.WriteString("images:\n")
	for _, e := range entries {
		fmt.Fprintf(&b, "- name: %s/starlingx/%s\n  src_build_tag: %q\n  tag: %q\n", host, e[0], e[1], e[2])
	}
	return b.String()
}

// The request budget of a retag in place: no list, no blob, and a tag is read before it is written and after.
func TestRetagBudget(t *testing.T) {
	t.Parallel()
	single, index, other := registrytest.Image(1, 2), registrytest.MultiArch(7, 3, 2), registrytest.Image(2, 1)
	names := map[string]string{single.Digest: "single", index.Digest: "index", other.Digest: "other"}
	write := map[registrytest.Kind]int{registrytest.ManifestHead: 2 + 2, registrytest.ManifestGet: 1, registrytest.ManifestPut: 1}
	read := map[registrytest.Kind]int{registrytest.ManifestHead: 2}
	// No list was read, and no HEAD has found anything: a GET confirms that the tag is absent.
	unfound := map[registrytest.Kind]int{registrytest.ManifestHead: 1, registrytest.ManifestGet: 1}
	for name, tc := range map[string]struct {
		source   registrytest.Object
		at       *registrytest.Object // what v1 points to
		absent   bool                 // there is no source tag
		ifExists plan.IfExists
		want     string
		budget   map[registrytest.Kind]int
	}{
		"an image":                 {source: single, want: "tag done starlingx/x single v1\n", budget: write},
		"an index":                 {source: index, want: "tag done starlingx/x index v1\n", budget: write},
		"it is so already":         {source: single, at: &single, budget: read},
		"another image":            {source: single, at: &other, want: "conflict refused starlingx/x single v1 was other\n", budget: read},
		"another image may stay":   {source: single, at: &other, ifExists: plan.Leave, want: "existing done starlingx/x single v1 was other\n", budget: read},
		"another image must go":    {source: index, at: &other, ifExists: plan.Overwrite, want: "move done starlingx/x index v1 was other\n", budget: write},
		"nothing there to stay":    {source: single, ifExists: plan.Leave, want: "tag done starlingx/x single v1\n", budget: write},
		"no source":                {source: single, absent: true, want: "missing refused starlingx/x  v1\n", budget: unfound},
		"no source, and it stays":  {source: single, absent: true, at: &other, ifExists: plan.Leave, want: "existing done starlingx/x  v1 was other\n", budget: map[registrytest.Kind]int{registrytest.ManifestHead: 2, registrytest.ManifestGet: 1}},
		"no source, and must move": {source: single, absent: true, at: &other, ifExists: plan.Overwrite, want: "missing refused starlingx/x  v1\n", budget: unfound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Push(t, "starlingx/x", tc.source, "build")
			want := tc.source.Digest
			if tc.absent {
				s.DeleteTag(t, "starlingx/x", "build")
				want = ""
			}
			if tc.at != nil {
				s.Push(t, "starlingx/x", *tc.at, "v1")
			}
			if strings.Contains(tc.want, "refused") || tc.ifExists == plan.Leave && tc.at != nil {
				want = s.Tags(t, "starlingx/x")["v1"]
			}
			p := rig{native: []string{native(s.Host, [3]string{"x", "build", "v1"})}, ifExists: tc.ifExists}.run(t)
			if got := lines(p, names); got != tc.want {
				t.Errorf("got %q, want %q: %+v", got, tc.want, p.Items)
			}
			spent := maps.Clone(tc.budget) // rows share it
			spent[registrytest.Ping] = 1
			budget(t, s, spent)
			if got := s.Tags(t, "starlingx/x")["v1"]; got != want {
				t.Errorf("v1 points to %s, want %s", got, want)
			}
		})
	}
}

// What cannot be read is never absent, and stops only its own entry.
func TestRetagFailsClosed(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	names := map[string]string{img.Digest: "img"}
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		ref   string
		want  string
		says  string
	}{
		"tag 503":    {registrytest.Refuse(503, "UNAVAILABLE", "down"), "v1", "unknown failed starlingx/x img v1\n", "reading tag v1: "},
		"tag 403":    {registrytest.Refuse(403, "DENIED", "no"), "v1", "unknown failed starlingx/x img v1\n", "403"},
		"tag 401":    {registrytest.Refuse(401, "UNAUTHORIZED", "no"), "v1", "unknown failed starlingx/x img v1\n", "401"},
		"source 503": {registrytest.Refuse(503, "UNAVAILABLE", "down"), "build", "unknown failed starlingx/x  v1\n", "reading source tag "},
		"source 403": {registrytest.Refuse(403, "DENIED", "no"), "build", "unknown failed starlingx/x  v1\n", "403"},
	} {
		for mode, ifExists := range map[string]plan.IfExists{"error": plan.Refuse, "skip": plan.Leave, "overwrite": plan.Overwrite} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				s := registrytest.New(t)
				s.Push(t, "starlingx/x", img, "build", "other")
				s.Push(t, "starlingx/y", img, "build")
				s.Fault(tc.fault, registrytest.Repo("starlingx/x"), registrytest.Ref(tc.ref))
				file := native(s.Host, [3]string{"x", "build", "v1"}, [3]string{"x", "other", "v2"}, [3]string{"y", "build", "v1"})
				p := rig{native: []string{file}, ifExists: ifExists, options: registry.Options{Backoff: time.Microsecond}}.run(t)
				got := lines(p, names)
				for _, want := range []string{tc.want, "tag done starlingx/x img v2\n", "tag done starlingx/y img v1\n"} {
					if !strings.Contains(got, want) {
						t.Errorf("missing %q in\n%s", want, got)
					}
				}
				if puts := s.Count(registrytest.ManifestPut); puts != 2 {
					t.Errorf("%d PUTs, want 2\n%s", puts, s.Summary())
				}
				for _, it := range p.Items {
					if it.Action == plan.Unreadable && !strings.Contains(it.Error, tc.says) {
						t.Errorf("error %q, want %q", it.Error, tc.says)
					}
				}
			})
		}
	}
}

// A pin is compared with the source tag only when the tag is lacking.
func TestRetagPins(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	img, moved := registrytest.MultiArch(1, 2, 1), registrytest.Image(2, 1)
	names := map[string]string{img.Digest: "img", moved.Digest: "moved"}
	s.Push(t, "starlingx/x", img, "build")
	r := rig{native: []string{native(s.Host, [3]string{"x", "build", "v1"}) + "  digest: " + img.Digest + "\n"}}
	if got, want := lines(r.run(t), names), "tag done starlingx/x img v1\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	budget(t, s, map[registrytest.Kind]int{
		registrytest.Ping: 1, registrytest.ManifestHead: 2 + 2, registrytest.ManifestGet: 1, registrytest.ManifestPut: 1,
	})
	s.Push(t, "starlingx/x", moved, "build")
	s.Reset()
	if p := r.run(t); len(p.Items) != 0 || p.UpToDate != 1 {
		t.Errorf("got %+v from a second run, want nothing to do", p)
	}
	budget(t, s, map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.ManifestHead: 1})
	s.DeleteTag(t, "starlingx/x", "v1")
	if got, want := lines(r.run(t), names), "invalid refused starlingx/x img v1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Overlaps are found across files and documents; a repeated edge is one edge.
func TestRetagFilesAreOneSet(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	a, b := registrytest.Image(1, 1), registrytest.Image(2, 1)
	s.Push(t, "starlingx/x", a, "build-1")
	s.Push(t, "starlingx/x", b, "build-2")
	p := rig{native: []string{
		native(s.Host, [3]string{"x", "build-1", "v1"}) + "---\n" + native(s.Host, [3]string{"x", "build-1", "v2"}),
		native(s.Host, [3]string{"x", "build-2", "v1"}, [3]string{"x", "build-1", "v2"}),
	}}.run(t)
	got := lines(p, map[string]string{a.Digest: "a", b.Digest: "b"})
	for _, want := range []string{"tag done starlingx/x a v2\n", "invalid refused starlingx/x a v1\n", "invalid refused starlingx/x b v1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	if len(p.Items) != 3 || len(p.Faults) != 2 {
		t.Errorf("got %d items, %d faults, want 3 and 2: %+v", len(p.Items), len(p.Faults), p)
	}
	for _, f := range p.Faults {
		if !strings.Contains(f.Message, "n1.yaml:2:3") || !strings.Contains(f.Message, "n2.yaml:2:3") {
			t.Errorf("got %s, want both places: n1.yaml:2:3 and n2.yaml:2:3", f)
		}
	}
	if _, there := s.Tags(t, "starlingx/x")["v1"]; there {
		t.Error("got v1 written, want it refused")
	}
}
