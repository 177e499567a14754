package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"

	rt "cip/internal/registrytest"
)

// kubernetes are the manifests of the Kubernetes project, where they are at hand.
const kubernetes = "../../shared/data/k8s-manifests"

// TestOneLineOfKubernetes checks a pull request of one line to 566,000 edges: it
// costs requests for that line alone, whatever is wrong elsewhere.
func TestOneLineOfKubernetes(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(kubernetes); err != nil {
		t.Skip("the Kubernetes manifests are not here")
	}
	reg := rt.New(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(kubernetes)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "manifests", "*", "promoter-manifest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	host := regexp.MustCompile(`(?m)^- name: `)
	for _, f := range files {
		edit(t, f, func(text []byte) []byte { return host.ReplaceAll(text, []byte("- name: "+reg.Host+"/")) })
	}
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
	reg.Push(t, "gcr.io/k8s-staging-kops/kops-controller", o)
	edit(t, filepath.Join(dir, "images", "k8s-staging-kops", "images.yaml"), func(text []byte) []byte {
		return append(text, entry("kops-controller", o.Digest, "one-more")...)
	})

	out := start(t, "run", "--thin-manifest-dir="+dir, "--since=HEAD").wait(t, runLimit)
	if out.code != 0 || out.report == nil {
		t.Fatalf("exit code %d\n%s", out.code, out)
	}
	const destinations = 23
	if n := len(out.report.Promotions); n != destinations || out.report.Summary["copy"] != n {
		t.Errorf("%d promotions, %v", n, out.report.Summary)
	}
	for kind, most := range map[rt.Kind]int{rt.Ping: 1, rt.Tags: destinations, rt.ManifestHead: destinations, rt.ManifestGet: 1} {
		if n := reg.Count(kind); n > most {
			t.Errorf("%d %s requests, want %d at most", n, kind, most)
		}
	}
	if n := len(reg.Requests()); n > 2*destinations+2 {
		t.Errorf("%d requests\n%s", n, reg.Summary())
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
