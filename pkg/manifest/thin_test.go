package manifest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// tree returns a thin directory with the given files.
func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(expand(text))}
	}
	return fsys
}

// names returns the names of the images of every manifest.
func names(set *Set) []string {
	var all []string
	for _, m := range set.Manifests {
		for _, im := range m.Images {
			all = append(all, m.File+" "+im.Name)
		}
	}
	return all
}

const imageA = "- {name: a, dmap: {$A: [x]}}\n"

func TestThinRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files map[string]string
		read  []string // promoter-manifests and their images
		want  []string
	}{
		{
			"files of no interest are ignored",
			map[string]string{
				"manifests/d/promoter-manifest.yaml": twoRegistries + "imagesPath: images/d/images.yaml\n", "images/d/images.yaml": imageA,
				"manifests/d/OWNERS": "{", "manifests/README.md": "{", "manifests/d/sub/x.go": "{", "images/d/generate.sh": "{", "other/promoter-manifest.yaml": "{",
			},
			[]string{"manifests/d/promoter-manifest.yaml a"}, nil,
		},
		{
			"imagesPath names a file",
			map[string]string{
				"manifests/d/promoter-manifest.yaml": twoRegistries + "imagesPath: ../../images/d/images.yaml\n", "images/d/images.yaml": imageA,
				"manifests/e/promoter-manifest.yaml": twoRegistries + "imagesPath: ../../images/d/images.yaml\n", "images/e/images.yaml": imageA,
			},
			[]string{"manifests/d/promoter-manifest.yaml a", "manifests/e/promoter-manifest.yaml a"},
			[]string{"warning manifests/e/promoter-manifest.yaml:4:1: imagesPath is ignored: the images are read from images/e/images.yaml"},
		},
		{
			"directories are read in lexical order",
			map[string]string{
				"manifests/b/promoter-manifest.yaml": twoRegistries, "images/b/images.yaml": imageA,
				"manifests/a/promoter-manifest.yaml": twoRegistries, "images/a/images.yaml": imageA,
				"manifests/a-b/promoter-manifest.yaml": twoRegistries, "images/a-b/images.yaml": imageA,
			},
			[]string{"manifests/a/promoter-manifest.yaml a", "manifests/a-b/promoter-manifest.yaml a", "manifests/b/promoter-manifest.yaml a"}, nil,
		},
		{
			"comment-only images.yaml",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": "# none yet\n"}, nil, nil,
		},
		{
			"lists of several documents are joined",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA + "---\n[]\n---\n- {name: b, dmap: {$B: []}}\n"},
			[]string{"manifests/d/promoter-manifest.yaml a", "manifests/d/promoter-manifest.yaml b"}, nil,
		},
		{
			"provenance is read",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries + "provenance: {}\n", "images/d/images.yaml": imageA},
			[]string{"manifests/d/promoter-manifest.yaml a"}, []string{"warning manifests/d/promoter-manifest.yaml:4:1: provenance without mode: the policy is off, no image is judged"},
		},
		{
			"faults of every file, in the order of the files",
			map[string]string{
				"manifests/b/promoter-manifest.yaml": "registries:\n- {name: s.io, src: true}\n- {name: t.io, src: true}\n", "images/b/images.yaml": "- {name: a, dmap: {x: []}}\n",
				"manifests/a/promoter-manifest.yaml": twoRegistries + "images: []\n", "images/a/images.yaml": "- name: a\n",
				"manifests/c/promoter-manifest.yaml": "", "images/c/images.yaml": "a: b: c\n",
				"manifests/e/promoter-manifest.yaml": "[]", "images/e/images.yaml": "",
			},
			nil, []string{
				`broken manifests/a/promoter-manifest.yaml:4:1: a thin manifest: unknown key "images"`,
				`broken images/a/images.yaml:1:3: an images entry with neither dmap nor retag`,
				`broken manifests/b/promoter-manifest.yaml:1:1: no destination: want one registry or more without src`,
				`broken manifests/b/promoter-manifest.yaml:3:16: a second source: the first is on line 2`,
				`refused images/b/images.yaml:1:20: bad digest "x": want sha256: and 64 lower-case hexadecimal digits`,
				`broken manifests/c/promoter-manifest.yaml: no registries: the file is empty`,
				`broken images/c/images.yaml:1:1: bad YAML: mapping values are not allowed in this context`,
				`broken manifests/e/promoter-manifest.yaml:1:1: a thin manifest: want a mapping, found a list`,
			},
		},
		{
			"images: around the list",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": "# c\nimages:\n- {name: a, dmap: {x: []}}\n"},
			[]string{"manifests/d/promoter-manifest.yaml a"}, []string{
				"broken images/d/images.yaml:2:1: images: around the list: an images.yaml is the bare list, so leave out this line",
				`refused images/d/images.yaml:3:20: bad digest "x": want sha256: and 64 lower-case hexadecimal digits`,
			},
		},
		{
			"images.yaml of a wrong type",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": "a: b\n"},
			nil, []string{"broken images/d/images.yaml:1:1: images.yaml: want a list, found a mapping"},
		},
		{
			"missing images.yaml",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/README.md": ""},
			nil, []string{"broken images/d/images.yaml: no such file or directory: manifests/d/promoter-manifest.yaml needs it"},
		},
		{
			"images.yaml is a directory",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml/x": ""},
			nil, []string{"broken images/d/images.yaml: is a directory, want a file: manifests/d/promoter-manifest.yaml needs it"},
		},
		{
			"no images directory",
			map[string]string{"manifests/d/promoter-manifest.yaml": "registries:\n"},
			nil, []string{
				"broken images: no such file or directory: a thin manifest directory holds manifests/ and images/",
				"broken manifests/d/promoter-manifest.yaml:1:1: registries is empty: want one with src: true and one destination or more",
			},
		},
		{
			"images and manifests are files",
			map[string]string{"manifests": "", "images": ""},
			nil, []string{"broken images: not a directory", "broken manifests: not a directory"},
		},
		{
			"no manifest at all",
			map[string]string{"manifests/README.md": "", "images/README.md": ""},
			nil, []string{"broken .: no thin manifest in it: want manifests/<name>/promoter-manifest.yaml"},
		},
		{
			"directories without a manifest",
			map[string]string{
				"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA,
				"manifests/e/OWNERS": "", "images/e/images.yaml": "{", "images/f/images.yaml": "{", "images/g/OWNERS": "",
			},
			[]string{"manifests/d/promoter-manifest.yaml a"}, []string{
				"warning manifests/e: no promoter-manifest.yaml in it: nothing of it is promoted",
				"warning images/f/images.yaml: not read: there is no manifests/f/promoter-manifest.yaml",
				"warning images/g: not read: there is no manifests/g/promoter-manifest.yaml",
			},
		},
		{
			"what is called promoter-manifest.yaml and is none stops everything",
			map[string]string{
				"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA,
				"manifests/h/promoter-manifest.yaml/x": "", "images/h/images.yaml": "[]", "promoter-manifest.yaml": "",
			},
			[]string{"manifests/d/promoter-manifest.yaml a"}, []string{
				"broken manifests/h/promoter-manifest.yaml: is a directory, want a file",
				"broken promoter-manifest.yaml: misplaced: a promoter-manifest belongs in manifests/<name>/",
			},
		},
		{
			"misplaced files",
			map[string]string{
				"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA,
				"manifests/promoter-manifest.yaml": "{", "manifests/d/e/promoter-manifest.yaml": "{",
				"images/promoter-manifest.yaml": "{", "images/d/promoter-manifest.yaml": "{", "images/d/e/images.yaml": "{", "images/images.yaml": "{",
			},
			[]string{"manifests/d/promoter-manifest.yaml a"}, []string{
				"broken manifests/d/e/promoter-manifest.yaml: misplaced: a promoter-manifest belongs in manifests/<name>/",
				"broken manifests/promoter-manifest.yaml: misplaced: a promoter-manifest belongs in manifests/<name>/",
				"warning images/d/e/images.yaml: not read: an images.yaml belongs in images/<name>/",
				"warning images/d/promoter-manifest.yaml: a promoter-manifest below images/ is not read: it belongs in manifests/<name>/",
				"warning images/images.yaml: not read: an images.yaml belongs in images/<name>/",
				"warning images/promoter-manifest.yaml: a promoter-manifest below images/ is not read: it belongs in manifests/<name>/",
			},
		},
		{
			"several documents in a promoter-manifest share the images",
			map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries + "---\n" + twoRegistries, "images/d/images.yaml": imageA},
			[]string{"manifests/d/promoter-manifest.yaml a", "manifests/d/promoter-manifest.yaml a"}, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := Thin(tree(tt.files), "")
			equal(t, faults(set), tt.want)
			equal(t, names(set), tt.read)
		})
	}
}

func TestThinPositionsNameTheirFile(t *testing.T) {
	t.Parallel()
	fsys := tree(map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": "- {name: a, dmap: {$A: [-x]}}\n"})
	for display, prefix := range map[string]string{"": "", ".": "", "top": "top/", "top/": "top/", "./top": "top/", "/abs/top": "/abs/top/"} {
		m := Thin(fsys, display).Manifests[0]
		got := []string{m.File, m.Source.Pos.String(), m.Images[0].Pos.String(), m.Refused[0].Fault.Pos.String()}
		equal(t, got, []string{
			prefix + "manifests/d/promoter-manifest.yaml", prefix + "manifests/d/promoter-manifest.yaml:2:3",
			prefix + "images/d/images.yaml:1:3", prefix + "images/d/images.yaml:1:94",
		})
	}
}

func TestThinDigest(t *testing.T) {
	t.Parallel()
	files := map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA, "images/README.md": ""}
	first := Thin(tree(files), "x").Digest
	files["images/README.md"] = "other"
	if Thin(tree(files), "y").Digest != first {
		t.Errorf("got another digest with a file that is not read and another name, want %s again", first)
	}
	files["images/d/images.yaml"] += "#"
	if Thin(tree(files), "x").Digest == first {
		t.Errorf("got %s again with a changed images.yaml, want another digest", first)
	}
}

func TestThinWalkIsBounded(t *testing.T) {
	t.Parallel()
	deep := tree(map[string]string{
		"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA,
		"images/d" + strings.Repeat("/e", maxDepth+1) + "/x": "",
	})
	want := "broken images/d" + strings.Repeat("/e", maxDepth) + ": more than 32 directories within each other"
	equal(t, faults(Thin(deep, "")), []string{want})

	wide := fstest.MapFS{}
	for i := range maxEntries {
		wide[fmt.Sprintf("manifests/d/%d", i)] = &fstest.MapFile{}
	}
	wide["manifests/d/promoter-manifest.yaml"] = &fstest.MapFile{Data: []byte(twoRegistries)}
	wide["images/d/images.yaml"] = &fstest.MapFile{}
	got := faults(Thin(wide, ""))
	equal(t, got, []string{"broken manifests/d: more than 200000 files, counted with those of directories before"})
}

// onDisk writes files and links ("-> target") below a new directory.
func onDisk(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(expand(text)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestThinFollowsLinks(t *testing.T) {
	t.Parallel()
	const manifest = "manifests/d/promoter-manifest.yaml"
	tests := []struct {
		name       string
		files      map[string]string
		read, want []string
	}{
		{
			"linked files",
			map[string]string{manifest: "-> ../../m", "m": twoRegistries, "images/d/images.yaml": "-> ../../i", "i": imageA},
			[]string{manifest + " a"}, nil,
		},
		{
			"linked directories",
			map[string]string{"manifests/d": "-> ../m", "m/promoter-manifest.yaml": twoRegistries, "images/d": "-> ../i", "i/images.yaml": imageA},
			[]string{manifest + " a"}, nil,
		},
		{
			"linked top directories",
			map[string]string{"manifests": "-> m", "m/d/promoter-manifest.yaml": twoRegistries, "images": "-> i", "i/d/images.yaml": imageA},
			[]string{manifest + " a"}, nil,
		},
		{
			"loops end",
			map[string]string{manifest: twoRegistries, "images/d/images.yaml": imageA, "manifests/d/up": "-> ../..", "images/up": "-> ..", "manifests/up": "-> .."},
			[]string{manifest + " a"}, []string{"warning manifests/up: no promoter-manifest.yaml in it: nothing of it is promoted"},
		},
		{
			"link to nothing",
			map[string]string{manifest: twoRegistries, "images/d/images.yaml": "-> nothing", "manifests/e": "-> nothing"},
			nil, []string{"broken images/d/images.yaml: no such file or directory: " + manifest + " needs it"},
		},
		{
			"link to a directory",
			map[string]string{manifest: twoRegistries, "images/d/images.yaml": "-> ../../manifests"},
			nil, []string{"broken images/d/images.yaml: is a directory, want a file: " + manifest + " needs it"},
		},
		{
			"orphan behind a link",
			map[string]string{manifest: twoRegistries, "images/d/images.yaml": imageA, "images/e": "-> d"},
			[]string{manifest + " a"}, []string{"warning images/e/images.yaml: not read: there is no manifests/e/promoter-manifest.yaml"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := Thin(os.DirFS(onDisk(t, tt.files)), "")
			equal(t, faults(set), tt.want)
			equal(t, names(set), tt.read)
		})
	}
}

func TestThinNeedsADirectory(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, map[string]string{"file": ""})
	equal(t, faults(Thin(os.DirFS(dir+"/none"), "none")), []string{"broken none: no such file or directory"})
	equal(t, faults(Thin(os.DirFS(dir+"/file"), "file")), []string{"broken file: not a directory"})
}

// denied is an fs.FS that does not let anybody open name.
type denied struct {
	fsys fs.FS
	name string
}

func (d denied) Open(name string) (fs.File, error) {
	if name == d.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.fsys.Open(name)
}

func TestThinReportsUnreadableFiles(t *testing.T) {
	t.Parallel()
	fsys := tree(map[string]string{"manifests/d/promoter-manifest.yaml": twoRegistries, "images/d/images.yaml": imageA, "images/d/e/x": ""})
	tests := []struct{ name, want string }{
		{"images", "broken images: permission denied: a thin manifest directory holds manifests/ and images/"},
		{"manifests/d/promoter-manifest.yaml", "broken manifests/d/promoter-manifest.yaml: permission denied"},
		{"images/d/images.yaml", "broken images/d/images.yaml: permission denied: manifests/d/promoter-manifest.yaml needs it"},
		{"images/d/e", "broken images/d/e: reading: permission denied"},
	}
	for _, tt := range tests {
		equal(t, faults(Thin(denied{fsys, tt.name}, "")), []string{tt.want})
	}
}

func TestThinAbsent(t *testing.T) {
	t.Parallel()
	const manifest, list = "manifests/d/promoter-manifest.yaml", "images/d/images.yaml"
	for name, tc := range map[string]struct {
		files  fstest.MapFS
		absent bool
	}{
		"nothing":                        {fstest.MapFS{"README.md": {}}, true},
		"empty directories":              {fstest.MapFS{"manifests": {Mode: fs.ModeDir}, "images": {Mode: fs.ModeDir}}, true},
		"a directory without a manifest": {fstest.MapFS{"manifests/d/x": {}, list: {}}, true},
		"a manifest without a list":      {fstest.MapFS{manifest: {Data: []byte(expand(twoRegistries))}, "images/x": {}}, false},
		"only a submodule":               {fstest.MapFS{"manifests/d": {Mode: fs.ModeIrregular}, list: {}}, false},
		"only a submodule, no images":    {fstest.MapFS{"manifests/d": {Mode: fs.ModeIrregular}}, false},
		"manifests in a submodule":       {fstest.MapFS{"manifests": {Mode: fs.ModeIrregular}, list: {}}, false},
	} {
		if got := Thin(tc.files, ""); got.Absent != tc.absent || !got.Broken() {
			t.Errorf("%s: got absent %t, broken %t, want absent %t, broken true", name, got.Absent, got.Broken(), tc.absent)
		}
	}
}
