package importer

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// destinations returns registries by their names.
func destinations(t testing.TB, names ...string) []image.Registry {
	t.Helper()
	var all []image.Registry
	for _, name := range names {
		r, err := image.ParseRegistry(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// written returns the text of plain manifests.
func written(t testing.TB, manifests []Manifest) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, manifests); err != nil {
		t.Fatalf("Write: %v, want no error", err)
	}
	return out.String()
}

// loads fails the test unless what is written can be loaded without any fault.
func loads(t testing.TB, manifests []Manifest) {
	t.Helper()
	if len(manifests) == 0 {
		return
	}
	plain := manifest.Plain(fstest.MapFS{"plain.yaml": {Data: []byte(written(t, manifests))}}, "plain.yaml", "")
	files, err := Thin(manifests)
	if err != nil {
		t.Fatalf("Thin: %v, want no error", err)
	}
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: text}
	}
	thin := manifest.Thin(dir, "")
	for kind, set := range map[string]*manifest.Set{"plain": plain, "thin": thin} {
		if len(set.Faults) > 0 || len(set.Manifests) != len(manifests) {
			t.Errorf("%s manifests: got %d with faults %v, want %d without faults; text:\n%s",
				kind, len(set.Manifests), set.Faults, len(manifests), written(t, manifests))
		}
	}
}

// TestTools compares the output for a file of each tool with the files next to it.
func TestTools(t *testing.T) {
	t.Parallel()
	secrets := []string{"Pa$$w0rd", "MIRROR_USER", "this is a secret", "john\"", "eyJ1c2Vy"}
	for _, tool := range Tools() {
		t.Run(tool.String(), func(t *testing.T) {
			t.Parallel()
			o := Options{}
			if tool == Skopeo {
				o = Options{Destinations: destinations(t, "mirror.example.com/repo", "docker.io/mirror"), AppendSuffix: "-m"}
			}
			name := tool.String() + ".yaml"
			result := Read(tool, os.DirFS("testdata"), name, name, o)
			var faults strings.Builder
			for _, f := range result.Faults {
				severity := map[yamlread.Severity]string{yamlread.Warning: "warning", yamlread.Refused: "refused", yamlread.Broken: "broken"}[f.Severity]
				faults.WriteString(f.Pos.String() + " " + severity + ": " + f.Message + "\n")
			}
			got := map[string]string{"manifests": written(t, result.Manifests), "faults": faults.String()}
			for kind, text := range got {
				want, err := os.ReadFile(filepath.Join("testdata", tool.String()+"."+kind))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), text); diff != "" {
					t.Errorf("%s of %s (-want +got):\n%s", kind, name, diff)
				}
				for _, secret := range secrets {
					if strings.Contains(text, secret) {
						t.Errorf("%s of %s: got the secret %q, want none", kind, name, secret)
					}
				}
			}
			loads(t, result.Manifests)
		})
	}
}

// TestBroken reads files that are not configurations.
func TestBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tool       Tool
		text, want string
	}{
		"empty":        {Regsync, "", "f.yaml: the file is empty, want a configuration of regsync"},
		"nothing":      {Regsync, "version: 1\nsync: []\n", "f.yaml: the file has no images"},
		"version":      {Regsync, "version: 2\n", `f.yaml:1:10: version: want a whole number from 0 to 1, found the value "2"`},
		"syntax":       {Dregsy, "tasks: [", "f.yaml:1:1: bad YAML: did not find expected node content"},
		"list":         {Skopeo, "- a\n", "f.yaml:1:1: a file of skopeo sync: want a mapping, found a list"},
		"tags":         {Skopeo, "a.io: {images: {b: c}}\n", `f.yaml:1:20: the tags of an image: want a list, found the value "c"`},
		"no source":    {Dregsy, "tasks: [{name: a, target: {registry: a.io}}]\n", "f.yaml:1:9: a task without source"},
		"an empty tag": {Skopeo, "a.io: {images: {b: ['']}}\n", `f.yaml:1:21: bad tag "": want up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'`},
		"no type":      {Regsync, "sync: [{source: a, target: b.io/a}]\n", "f.yaml:1:8: a step without type"},
		"a mapping":    {ImageSyncer, "a.io/b: {c: d}\n", "f.yaml:1:9: destinations: want text or a list, found a mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := Read(c.tool, fstest.MapFS{"f.yaml": {Data: []byte(c.text)}}, "f.yaml", "f.yaml", Options{Destinations: destinations(t, "d.io")})
			if len(result.Faults) != 1 || result.Faults[0].String() != c.want || len(result.Manifests) != 0 || result.Complete() {
				t.Errorf("Read: got %d manifests, complete %v, faults %v, want none, false, %s", len(result.Manifests), result.Complete(), result.Faults, c.want)
			}
		})
	}
}

// TestSkopeoScoped keeps the whole name of the source below the destination.
func TestSkopeoScoped(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"f.yaml": {Data: []byte("quay.io: {images: {coreos/etcd: [latest]}}\n")}}
	result := Read(Skopeo, files, "f.yaml", "f.yaml", Options{Destinations: destinations(t, "d.io/m"), Scoped: true})
	want := `registries:
- name: quay.io
  src: true
- name: d.io/m/quay.io
images:
- name: coreos/etcd
  retag:
  - src_build_tag: "latest"
    tag: "latest"
`
	if diff := cmp.Diff(want, written(t, result.Manifests)); diff != "" || !result.Complete() {
		t.Errorf("manifests (-want +got):\n%s\nfaults: got %v, want only warnings", diff, result.Faults)
	}
}

// TestImageSyncerDefault uses the default destination for images without one.
func TestImageSyncerDefault(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"f.json": {Data: []byte(`{"quay.io/coreos/etcd:v3": ""}`)}}
	result := Read(ImageSyncer, files, "f.json", "f.json", Options{Destinations: destinations(t, "d.io/m")})
	got := written(t, result.Manifests)
	if !strings.Contains(got, "- name: quay.io/coreos\n  src: true\n- name: d.io/m\n") || !result.Complete() {
		t.Errorf("manifests: got\n%s\nfaults %v, want quay.io/coreos, d.io/m and only warnings", got, result.Faults)
	}
}

// TestSelectorComments uncomments the selectors and loads them.
func TestSelectorComments(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"f.yaml": {Data: []byte("a.io: {images-by-semver: {b: '>= 3.12.0', c: '~1'}, images: {c: ['1']}}\n")}}
	result := Read(Skopeo, files, "f.yaml", "f.yaml", Options{Destinations: destinations(t, "d.io")})
	text := written(t, result.Manifests)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasSuffix(line, ".yaml") {
			lines[i] = strings.TrimPrefix(line, "# ")
		}
	}
	set, selectors := manifest.PlainSelectors(fstest.MapFS{"p.yaml": {Data: []byte(strings.Join(lines, "\n"))}}, "p.yaml", "")
	got := 0
	for _, f := range selectors {
		got += len(f.Entries)
	}
	if len(set.Faults) > 0 || got != 2 {
		t.Errorf("uncommented selectors: got %d with faults %v, want 2 without faults; text:\n%s", got, set.Faults, text)
	}
}

// The hint about an unknown key is the same in each run, also if several keys are similar.
func TestHint(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"f": {Data: []byte("dockerhs: x\n")}} // like docker and dockerhost
	for range 50 {
		result := Read(Dregsy, files, "f", "f", Options{})
		if got := result.Faults[0].Message; !strings.HasSuffix(got, `did you mean "docker"?`) {
			t.Fatalf("got %q, want a hint at docker", got)
		}
	}
}

// A mapping with too many values is a fault, and nothing in it is read.
func TestTooManyValues(t *testing.T) {
	t.Parallel()
	images := &yaml.Node{Kind: yaml.ScalarNode, Value: "images"}
	root := &yaml.Node{Kind: yaml.MappingNode, Content: slices.Repeat([]*yaml.Node{images}, yamlread.MaxNodes)}
	r := &reader{File: yamlread.Of(root)}
	r.imageSyncer(root)
	if len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Message, "values") {
		t.Errorf("got faults %v, want one about the number of values", r.Faults)
	}
}

func TestFinite(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]struct {
		tags  string
		exact bool
	}{
		`^v1\.2$`:           {"v1.2", true},
		`^1.2$`:             {"1.2", false},
		`^(latest|edge)$`:   {"latest,edge", true},
		`^1(-alpine)?$`:     {"1,1-alpine", true},
		`^1\.1[0-2]$`:       {"1.10,1.11,1.12", true},
		`^^a$$`:             {"a", true},
		`latest`:            {},
		`^a|b$`:             {},
		`^a`:                {},
		`^1\.\d+$`:          {},
		`^[a-z]$`:           {},
		`^(?i)latest$`:      {},
		`^[0-9][0-9]$`:      {},
		`^(`:                {},
		`^a$b$`:             {},
		`^(a|b)(c|d)(e|f)$`: {"ace,acf,ade,adf,bce,bcf,bde,bdf", true},
	} {
		tags, exact, ok := finite(pattern)
		if got := strings.Join(tags, ","); got != want.tags || ok != (want.tags != "") || ok && exact != want.exact {
			t.Errorf("finite(%q): got %q, exact %v, ok %v, want %q, exact %v", pattern, got, exact, ok, want.tags, want.exact)
		}
	}
}

// FuzzRead holds that whatever is read, what is written can be loaded.
func FuzzRead(f *testing.F) {
	for i, tool := range Tools() {
		text, err := os.ReadFile(filepath.Join("testdata", tool.String()+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), text)
	}
	f.Add(uint8(2), []byte("a.io/b:1,2: [c.io/b, docker.io/b]\n"))
	f.Fuzz(func(t *testing.T, tool uint8, text []byte) {
		tools := Tools()
		o := Options{Destinations: destinations(t, "d.io/m", "docker.io"), Scoped: tool%2 == 0}
		result := Read(tools[int(tool)%len(tools)], fstest.MapFS{"f": {Data: text}}, "f", "f", o)
		loads(t, result.Manifests)
	})
}
