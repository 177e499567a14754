package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// kubernetes are the manifests of the Kubernetes project, if they are next to this one.
const kubernetes = "../../shared/data/k8s-manifests"

// TestOneLine checks a pull request of one line: it costs requests for that line
// alone, however many edges there are, and whatever is wrong elsewhere.
func TestOneLine(t *testing.T) {
	t.Parallel()
	t.Run("small", func(t *testing.T) {
		t.Parallel()
		oneLine(t, smallTree(), "fruit", "staging.example.com/fruit", 3)
	})
	t.Run("Kubernetes", func(t *testing.T) { // 566,000 edges
		t.Parallel()
		if _, err := os.Stat(kubernetes); err != nil {
			t.Skip("the Kubernetes manifests are not next to the project: one line among 566,000 edges is left out")
		}
		oneLine(t, os.DirFS(kubernetes), "k8s-staging-kops", "gcr.io/k8s-staging-kops", 23)
	})
}

// smallTree is a thin directory of some projects with three destinations each, of
// which one has an entry that is refused.
func smallTree() fs.FS {
	fsys := fstest.MapFS{}
	for i, project := range []string{"bread", "fruit", "roots"} {
		list := entry("bad", "sha256:bad", "1.0")
		if project == "fruit" {
			list = ""
		}
		for n := range 20 {
			list += entry(fmt.Sprintf("image-%d", n), fmt.Sprintf("sha256:%064x", i<<8+n), "1.0")
		}
		registries := fmt.Sprintf("registries:\n- name: staging.example.com/%s\n  src: true\n", project)
		for n := range 3 {
			registries += fmt.Sprintf("- name: r%d.example.com/%s\n", n, project)
		}
		fsys["manifests/"+project+"/promoter-manifest.yaml"] = &fstest.MapFile{Data: []byte(registries), Mode: 0o600}
		fsys["images/"+project+"/images.yaml"] = &fstest.MapFile{Data: []byte(list), Mode: 0o600}
	}
	return fsys
}

// oneLine adds an image to a project of a thin directory, whose images come from source and go to some destinations.
func oneLine(t *testing.T, manifests fs.FS, project, source string, destinations int) {
	t.Helper()
	reg := rt.New(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, manifests); err != nil {
		t.Fatal(err)
	}
	onHost(t, dir, reg.Host)
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	work, err := repo.Worktree()
	if err == nil {
		err = work.AddWithOptions(&git.AddOptions{All: true})
	}
	if err == nil {
		_, err = work.Commit("all", &git.CommitOptions{Author: &object.Signature{Name: "someone"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	o := rt.Image(1, 1)
	reg.Push(t, source+"/one-more", o)
	edit(t, filepath.Join(dir, "images", project, "images.yaml"), func(text []byte) []byte {
		return append(text, entry("one-more", o.Digest, "1.0")...)
	})

	out := start(t, "run", "--thin-manifest-dir="+dir, "--since=HEAD").wait(t, runLimit)
	if out.code != 0 || out.report == nil {
		t.Fatalf("got exit code %d, report %t, want 0 and true\n%s", out.code, out.report != nil, out)
	}
	if n := len(out.report.Promotions); n != destinations || out.report.Summary["copy"] != n {
		t.Errorf("got %d promotions, %v, want %d to copy", n, out.report.Summary, destinations)
	}
	for kind, most := range map[rt.Kind]int{rt.Ping: 1, rt.Tags: destinations, rt.ManifestHead: destinations, rt.ManifestGet: 1} {
		if n := reg.Count(kind); n > most {
			t.Errorf("%d %s requests, want %d at most", n, kind, most)
		}
	}
	if n := len(reg.Requests()); n > 2*destinations+2 {
		t.Errorf("got %d requests, want %d at most\n%s", n, 2*destinations+2, reg.Summary())
	}
}

// onHost puts the registries of a thin directory below a host.
func onHost(t *testing.T, dir, host string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "manifests", "*", "promoter-manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?m)^( *)- name: `)
	for _, f := range files {
		edit(t, f, func(text []byte) []byte { return name.ReplaceAll(text, []byte("${1}- name: "+host+"/")) })
	}
}

// edit changes the text of a file.
func edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, change(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
