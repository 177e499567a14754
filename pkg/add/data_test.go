package add_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/add"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// forms are manifests in all forms that real ones have. Kubernetes' own may be next to the
// project.
const (
	forms      = "testdata/thin"
	kubernetes = "../../../shared/data/k8s-manifests"
)

// TestForms adds to lists of each form: the result is reviewed as a diff.
func TestForms(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		raw, err := os.ReadFile(path.Join(forms, "images", name, "images.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, tt := range []struct {
		image, tag string
		before     string // in the line before which lines are added; "": at the end
		lines      string
	}{
		{"autoscaler/vpa-admission", "0.13.1", "\n- name: vpa-recommender", "    \"~d\": [ \"0.13.1\" ]\n"},
		{"autoscaler/vpa-admission", "0.9.3", "sha256:ddaf596d1c91", "    \"~d\": [ \"0.9.3\" ]\n"},
		{"autoscaler/vpa-new", "0.13.0", "\n- name: vpa-recommender", "\n- name: vpa-new\n  dmap:\n    \"~d\": [ \"0.13.0\" ]\n"},
		{"etcd/etcd", "v3.0.20220203", "- name: etcd-amd64", "    \"~d\": [\"v3.0.20220203\"]\n"},
		{"etcd/etcd-arm64", "v3.0.20220203", "", "- name: etcd-arm64\n  dmap:\n    \"~d\": [\"v3.0.20220203\"]\n"},
		{"nginx/controller", "v1.11.0", `["v1.2.0"]`, "    \"~d\": [\"v1.11.0\"]\n"},
		{"nginx/fluentd", "v3.0.1", `["v3.0.0"]`, "    \"~d\": [\"v3.0.1\"]\n"},
		{"nginx/base", "20240103-abc", "    #\"sha256:", "    \"~d\": [\"20240103-abc\"]\n"},
		{"build/kube-cross", "v1.19.0", "- name: pause", "    ~d:\n    - v1.19.0\n"},
		{"build/pause", "v3.3", "", "\n    ~d: [v3.3]\n"},
		{"build/new", "v3.3", "", "\n- name: new\n  dmap:\n    ~d: [v3.3]\n"},
		{"comment/new", "v1", "", "- name: new\n  dmap:\n    \"~d\": [\"v1\"]\n"},
	} {
		team, name, _ := strings.Cut(tt.image, "/")
		list := read(team)
		at := lineOf(t, list, tt.before)
		want := list[:at] + long(tt.lines) + list[at:]
		reader := &holdings{tags: map[string]map[string]string{"gcr.example/staging-" + team + "/" + name: {tt.tag: "d"}}}
		changes, err := compute(t, add.Files{FS: os.DirFS(forms), Name: "."}, add.Request{Images: []string{tt.image + ":" + tt.tag}}, reader)
		if err != nil || len(changes) != 1 {
			t.Errorf("%s:%s: got %v, error %v, want a change", tt.image, tt.tag, added(changes), err)
			continue
		}
		if diff := cmp.Diff(want, string(changes[0].New)); diff != "" {
			t.Errorf("%s:%s (-want +got)\n%s", tt.image, tt.tag, diff)
		}
	}
}

// lineOf returns the offset of the last line that has a text, or the end if it is empty.
func lineOf(t *testing.T, all, text string) int {
	t.Helper()
	if text == "" {
		return len(all)
	}
	at := strings.LastIndex(all, text)
	if at < 0 {
		t.Fatalf("no line %q in\n%s", text, all)
	}
	return strings.LastIndexByte(all[:at], '\n') + 1
}

// TestAllLists adds a tag to an image of each list, and a new image: only lines are added,
// and the result parses to what was there and what was added.
func TestAllLists(t *testing.T) {
	t.Parallel()
	t.Run("forms", func(t *testing.T) {
		t.Parallel()
		addToAll(t, os.DirFS(forms), 6)
	})
	t.Run("Kubernetes", func(t *testing.T) {
		t.Parallel()
		if _, err := os.Stat(kubernetes); err != nil {
			t.Skip("Kubernetes' manifests are not next to the project")
		}
		addToAll(t, os.DirFS(kubernetes), 66)
	})
}

// addToAll adds to all lists of a directory with a number of teams.
func addToAll(t *testing.T, files fs.FS, teams int) {
	t.Helper()
	before := manifest.Thin(files, "")
	reader := &holdings{tags: map[string]map[string]string{}}
	var request add.Request
	want := wants(before)
	for _, m := range before.Manifests {
		names := []string{"new-image"}
		if len(m.Images) > 0 {
			names = append(names, m.Images[len(m.Images)/2].Name)
		}
		for _, name := range names {
			reader.tags[m.Source.Name.String()+"/"+name] = map[string]string{"v99.1.0": "d", "v99.0.0": "e", "v99.0": "e"}
			request.Images = append(request.Images, m.Directory+"/"+name)
			want[m.Directory+"/"+name+"@"+dig("d")] = []string{"v99.1.0"}
			want[m.Directory+"/"+name+"@"+dig("e")] = []string{"v99.0", "v99.0.0"}
		}
	}
	request.Tags = []string{"v99.1.0", "v99.0.0", "v99.0"}
	changes, err := compute(t, add.Files{FS: files, Name: "."}, request, reader)
	if err != nil || len(changes) != teams || len(before.Manifests) != teams {
		t.Fatalf("got %d changes of %d manifests, error %v, want %d", len(changes), len(before.Manifests), err, teams)
	}
	tree := fstest.MapFS{}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(files, name)
		tree[name] = &fstest.MapFile{Data: raw}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if line, ok := removed(string(c.Old), string(c.New)); ok {
			t.Errorf("%s: got line %q removed or changed, want it unchanged", c.Path, line)
		}
		if n := strings.Count(string(c.New), "\n") - strings.Count(string(c.Old), "\n"); n > 13 {
			t.Errorf("%s: got %d lines added, want at most 13", c.Path, n)
		}
		tree[c.Path] = &fstest.MapFile{Data: c.New}
	}
	if diff := cmp.Diff(want, wants(manifest.Thin(tree, ""))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if more, err := compute(t, add.Files{FS: tree, Name: "."}, request, reader); err != nil || len(more) > 0 {
		t.Errorf("the second time: got %v, error %v, want nothing", added(more), err)
	}
}

// removed returns a line of before that after does not have, in order. An empty list and a
// file that does not end with a line end may change.
func removed(before, after string) (string, bool) {
	rest := strings.Split(strings.TrimRight(before, "\n"), "\n")
	for line := range strings.SplitSeq(after, "\n") {
		if len(rest) > 0 && line == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) == 0 || rest[0] == "[]" {
		return "", false
	}
	return rest[0], true
}

// wants returns the sorted tags that manifests want, by "directory/name@digest".
func wants(set *manifest.Set) map[string][]string {
	all := map[string]map[string]struct{}{}
	for _, m := range set.Manifests {
		for _, im := range m.Images {
			for _, d := range im.Digests {
				key := fmt.Sprintf("%s/%s@%s", m.Directory, im.Name, d.Digest)
				if all[key] == nil {
					all[key] = map[string]struct{}{}
				}
				for _, tag := range d.Tags {
					all[key][tag.Name] = struct{}{}
				}
			}
		}
	}
	sorted := map[string][]string{}
	for key, tags := range all {
		sorted[key] = append([]string{}, slices.Sorted(maps.Keys(tags))...)
	}
	return sorted
}
