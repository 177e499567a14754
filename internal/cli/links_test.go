package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// place puts files below a directory: text, links ("-> target") and FIFOs ("|").
func place(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, at)
		case text == "|":
			err = syscall.Mkfifo(at, 0o600)
		default:
			err = os.WriteFile(at, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// said runs cip and returns its exit code and all that it writes.
func said(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	s := streams{out: &out, err: &out, getenv: func(string) string { return "" }}
	code := execute(t.Context(), newRootCmd(s), args, s)
	return code, out.String()
}

// thin is a thin directory of two teams, whose sources are at a registry host.
func thin(host string) map[string]string {
	files := map[string]string{}
	for _, team := range []string{"a", "b"} {
		files["manifests/"+team+"/promoter-manifest.yaml"] = fmt.Sprintf("registries:\n- {name: %s/staging, src: true}\n- {name: %s/%s}\n", host, host, team)
		files["images/"+team+"/images.yaml"] = "[] # of " + team + "\n"
	}
	return files
}

func TestLinksOutOfTheTreeRevealNothing(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	place(t, secrets, map[string]string{
		"token": "eyJhbGciOiJSUzI1NiJ9.SECRET", "netrc": "machine github.com login bot password SECRET\n", "fifo": "|",
		"tags.json": `{"auths": {"x": "SECRET"}}`, "list.yaml": "- {name: SECRET, dmap: {}}\n",
	})
	targets := []string{secrets + "/token", secrets + "/netrc", secrets + "/list.yaml", secrets + "/fifo", secrets + "/tags.json", "/dev/zero", "|"}
	for _, name := range []string{
		"images/a/images.yaml", "images/a/sources.yaml", "images/a/sources.lock.yaml", "manifests/a/promoter-manifest.yaml", "images/a/other.yaml", "images/a/tags.json",
	} {
		for _, target := range targets {
			t.Run(name+" to "+filepath.Base(target), func(t *testing.T) {
				t.Parallel()
				dir, files := t.TempDir(), thin("localhost:1")
				files["images/a/sources.yaml"] = "- {name: app, select: {alias: latest, imageTags: tags.json}}\n"
				if files[name] = "-> " + target; target == "|" {
					files[name] = target
				}
				place(t, dir, files)
				for _, args := range [][]string{
					{"run", "--parse-only"}, {"resolve", "--check"},
					{"check", "--offline"}, {"check", "--offline", "-o", "markdown"}, {"check", "--offline", "-o", "json"}, {"check", "--offline", "-o", "sarif"},
				} {
					if _, text := said(t, append(args, "--thin-manifest-dir", dir)...); strings.Contains(text, "SECRET") {
						t.Errorf("cip %q writes\n%s\nwant nothing of what the link leads to", args, text)
					}
				}
				if name == "manifests/a/promoter-manifest.yaml" {
					if code, text := said(t, "run", "--parse-only", "--manifest", filepath.Join(dir, name)); code != exitFailed || strings.Contains(text, "SECRET") {
						t.Errorf("a plain manifest: exit code %d, want 1\n%s", code, text)
					}
				}
			})
		}
	}
}

func TestResolveWritesThroughNoLink(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	app := registrytest.Image(1, 1)
	reg.Push(t, "staging/app", app, "v1")
	const selectors = "- {name: app, select: {tag: v1}}\n"
	const list, lock = "images/a/images.yaml", "images/a/sources.lock.yaml"
	tests := map[string]struct {
		files   map[string]string
		written []string // none: it is an error
	}{
		"no link":                {nil, []string{list, lock}},
		"another team's list":    {map[string]string{list: "-> ../b/images.yaml"}, []string{list, lock}},
		"another team's lock":    {map[string]string{lock: "-> ../b/a.lock", "images/b/a.lock": "[]\n"}, []string{list, lock}},
		"a lock of nothing":      {map[string]string{lock: "-> ../none"}, nil},
		"a list out of the tree": {map[string]string{list: "-> OUT/images.yaml"}, nil},
		"a lock out of the tree": {map[string]string{lock: "-> OUT/images.yaml"}, nil},
		"another's directory":    {map[string]string{"images/a": "-> ../c", "c/images.yaml": "[]\n", "c/sources.yaml": selectors}, nil},
		"a directory elsewhere":  {map[string]string{"images/a": "-> OUT"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, dir, files := t.TempDir(), t.TempDir(), thin(reg.Host)
			place(t, out, map[string]string{"images.yaml": "[]\n", "sources.yaml": selectors})
			files["images/a/sources.yaml"] = selectors
			if _, linked := tc.files["images/a"]; linked {
				delete(files, list)
				delete(files, "images/a/sources.yaml")
			}
			for at, text := range tc.files {
				files[at] = strings.Replace(text, "OUT", out, 1)
			}
			place(t, dir, files)
			want := exitOK
			if tc.written == nil {
				want = exitFailed
			}
			if code, text := said(t, "resolve", "--write", "--thin-manifest-dir", dir); code != want {
				t.Errorf("exit code %d, want %d\n%s", code, want, text)
			}
			for _, at := range tc.written {
				delete(files, at)
				info, err := os.Lstat(filepath.Join(dir, at))
				if err != nil || !info.Mode().IsRegular() {
					t.Fatalf("%s: %v, error %v, want a file", at, info, err)
				}
				if text, err := os.ReadFile(filepath.Join(dir, at)); err != nil || !strings.Contains(string(text), string(app.Digest)) {
					t.Errorf("%s: error %v, want %s in it\n%s", at, err, app.Digest, text)
				}
			}
			for at, text := range files {
				if !strings.HasPrefix(text, "-> ") {
					unchanged(t, filepath.Join(dir, at), text)
				}
			}
			unchanged(t, filepath.Join(out, "images.yaml"), "[]\n")
		})
	}
}

// A sources.yaml that cannot be read is not "no selectors": its lock would be emptied.
func TestSourcesBehindABadLink(t *testing.T) {
	t.Parallel()
	const lock = "images/a/sources.lock.yaml"
	digest := strings.Repeat("0", 64)
	locked := "- name: app\n  intent: sha256:" + digest + "\n  digest: sha256:" + digest + "\n  tag: v1\n  tags: [v1]\n"
	for _, target := range []string{"OUT/sources.yaml", "/proc/self/environ", "missing", "sources.yaml", "../../missing/sources.yaml"} {
		for name, text := range map[string]string{"with a lock": locked, "without a lock": ""} {
			t.Run(target+" "+name, func(t *testing.T) {
				t.Parallel()
				out, dir, files := t.TempDir(), t.TempDir(), thin("localhost:1")
				place(t, out, map[string]string{"sources.yaml": "- {name: app, select: {tag: v1}}\n"})
				files["images/a/sources.yaml"] = "-> " + strings.Replace(target, "OUT", out, 1)
				if text != "" {
					files[lock] = text
				}
				place(t, dir, files)
				for _, args := range [][]string{{"resolve", "--check"}, {"resolve", "--write"}, {"check", "--offline"}} {
					code, said := said(t, append(args, "--thin-manifest-dir", dir)...)
					if at := filepath.Join(dir, "images/a/sources.yaml") + ": "; code != exitFailed || !strings.Contains(said, at) {
						t.Errorf("cip %q: got exit code %d, want 1 and %q\n%s", args, code, at, said)
					}
				}
				if text != "" {
					unchanged(t, filepath.Join(dir, lock), text)
				} else if _, err := os.Lstat(filepath.Join(dir, lock)); !os.IsNotExist(err) {
					t.Errorf("lock: got error %v, want that it does not exist", err)
				}
			})
		}
	}
}

func unchanged(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

// A team whose directories lead out of the tree is not left out in silence; other files may be links to anything.
func TestDirectoriesOutOfTheTree(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		links map[string]string
		code  int
		want  string
	}{
		"both":  {map[string]string{"manifests/c": "-> OUT", "images/c": "-> OUT"}, exitFailed, "manifests/c: not read: a symbolic link out of the directory"},
		"none":  {map[string]string{"manifests/c": "-> ../none", "images/c/images.yaml": "[]\n"}, exitFailed, "manifests/c: not read: a symbolic link to a file that does not exist"},
		"one":   {map[string]string{"manifests/c": "-> OUT", "images/c/images.yaml": "[]\n"}, exitFailed, "manifests/c: not read: a symbolic link out of the directory"},
		"files": {map[string]string{"manifests/OWNERS": "-> OUT/x", "images/a/README.md": "-> OUT/x"}, exitOK, "warning: not read: a symbolic link out of the directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, dir, files := t.TempDir(), t.TempDir(), thin("localhost:1")
			place(t, out, map[string]string{"x": "", "images.yaml": "[]\n", "promoter-manifest.yaml": registries})
			for at, text := range tc.links {
				files[at] = strings.Replace(text, "OUT", out, 1)
			}
			place(t, dir, files)
			if code, text := said(t, "run", "--parse-only", "--thin-manifest-dir", dir); code != tc.code || !strings.Contains(text, tc.want) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, tc.code, tc.want, text)
			}
		})
	}
}
