package manifest_test

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// The examples are files of the project; real ones may be next to it.
const (
	examples = "../../manifests"
	data     = "../../../shared/data"
)

// realData returns a file or directory of real data, or skips the test that needs it.
func realData(tb testing.TB, name string) string {
	tb.Helper()
	if _, err := os.Stat(data + "/" + name); err != nil {
		tb.Skipf("%s is not next to the project: %s is left out", name, tb.Name())
	}
	return data + "/" + name
}

// tally counts what a set holds: manifests, destinations, images, digests, tags and refused entries.
func tally(set *manifest.Set) [6]int {
	n := [6]int{0: len(set.Manifests)}
	for _, m := range set.Manifests {
		n[1] += len(m.Destinations)
		n[2] += len(m.Images)
		n[5] += len(m.Refused)
		for _, im := range m.Images {
			n[3] += len(im.Digests)
			for _, d := range im.Digests {
				n[4] += len(d.Tags)
			}
		}
	}
	return n
}

func TestThinManifestsWhole(t *testing.T) {
	t.Parallel()
	read := func(t *testing.T, dir string, counts [6]int, faults []string) {
		t.Helper()
		set := manifest.Thin(os.DirFS(dir), "")
		if diff := cmp.Diff(counts, tally(set)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(faults, faultsOf(set)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	t.Run("examples", func(t *testing.T) {
		t.Parallel()
		read(t, examples+"/thin", [6]int{2, 4, 5, 6, 8, 0}, nil)
	})
	t.Run("Kubernetes", func(t *testing.T) {
		t.Parallel()
		read(t, realData(t, "k8s-manifests"), [6]int{66, 1610, 672, 14504, 14548, 1}, []string{
			`images/k8s-staging-ingress-nginx/images.yaml:203:5: bad digest "sha256:23eb4b1775fbaa2adca55c73cf0341e1224d6308689b6f4b3aa1523312eb81c": want sha256: and 64 lower-case hexadecimal digits`,
		})
	})
}

func TestNativeSelectors(t *testing.T) {
	t.Parallel()
	read := func(t *testing.T, file, host string, entries int) {
		t.Helper()
		set, files := manifest.PlainSelectors(os.DirFS(path.Dir(file)), path.Base(file), "")
		if len(set.Faults) > 0 || len(set.Manifests) != 1 || !set.Manifests[0].Native || len(set.Manifests[0].Images) != entries {
			t.Fatalf("got faults %v and manifests %+v, want one native manifest of %d images", set.Faults, set.Manifests, entries)
		}
		if len(files) != 1 || len(files[0].Entries) != entries || files[0].Images != "" {
			t.Fatalf("got files %+v, want one with %d entries and without images", files, entries)
		}
		for _, e := range files[0].Entries {
			if e.Select.Tag == "" || len(e.Tags) != 1 || e.Ref == "" || e.Repository.RegistryStr() != host {
				t.Errorf("got %+v, want a selector of one tag in %s, with a ref", e, host)
			}
		}
	}
	t.Run("example", func(t *testing.T) {
		t.Parallel()
		read(t, examples+"/native.yaml", "localhost:5000", 2)
	})
	t.Run("StarlingX", func(t *testing.T) {
		t.Parallel()
		read(t, realData(t, "image-tags-bullseye.yaml"), "index.docker.io", 50)
	})
}

// TestEditLists adds to every list of whole directories: nothing but lines may be added.
func TestEditLists(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"thin", "selectors", "demo"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			editLists(t, os.DirFS(examples+"/"+dir))
		})
	}
	t.Run("Kubernetes", func(t *testing.T) {
		t.Parallel()
		editLists(t, os.DirFS(realData(t, "k8s-manifests")))
	})
}

// editLists adds to every list of a thin directory.
func editLists(t *testing.T, fsys fs.FS) {
	t.Helper()
	names := map[string]string{} // directory → a name in it
	for _, m := range manifest.Thin(fsys, "").Manifests {
		for _, im := range m.Images {
			names[path.Base(path.Dir(m.File))] = im.Name
		}
	}
	if len(names) == 0 {
		t.Fatal("got no list, want some tried")
	}
	for dir, name := range names {
		raw, err := fs.ReadFile(fsys, "images/"+dir+"/images.yaml")
		if err != nil {
			t.Fatal(err)
		}
		text := manifest.NewImagesText(raw, true)
		for _, n := range []string{name, "new/name"} {
			for _, tag := range []string{"v9.9.9", "v9.9.9-1"} {
				if err := text.Add(n, manifest.Addition{Digest: image.Hash(dig("a")), Tags: []string{tag}}); err != nil {
					t.Errorf("%s: %v", dir, err)
				}
			}
		}
		before := strings.Split(string(raw), "\n")
		for line := range strings.SplitSeq(string(text.Bytes()), "\n") {
			if len(before) > 0 && line == before[0] {
				before = before[1:]
			}
		}
		if len(before) > 0 {
			t.Errorf("%s: got line %q changed, want it unchanged", dir, before[0])
		}
	}
}

func BenchmarkRealThinManifests(b *testing.B) {
	fsys := os.DirFS(realData(b, "k8s-manifests"))
	b.ReportAllocs()
	for b.Loop() {
		if len(manifest.Thin(fsys, "").Manifests) == 0 {
			b.Fatal("got no manifests, want some")
		}
	}
}
