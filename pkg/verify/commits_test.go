package verify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

const (
	thinRegistries = "registries:\n- {name: staging.example.com/orchard, src: true}\n- name: prod.example.com/images/orchard\n"
	thinImages     = "- name: apple\n  dmap:\n    \"sha256:" + sha + "\": [\"v2.1\"]\n"
	otherImages    = "- name: pear\n  dmap:\n    \"sha256:" + sha + "\": [\"v2.1\"]\n"
)

// write writes files below dir and commits all.
func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return gittest.CommitAll(t, dir)
}

func TestEntryOfACommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const registries, images = "k8s/manifests/orchard/promoter-manifest.yaml", "k8s/images/orchard/images.yaml"
	first := write(t, dir, map[string]string{registries: thinRegistries, images: thinImages, "plain.yaml": thinRegistries + "images:\n" + thinImages})
	broken := write(t, dir, map[string]string{images: "- name: [\n"})
	retag := write(t, dir, map[string]string{images: "- name: apple\n  retag:\n  - {src_build_tag: b1, src_ref: r, tag: v2.1}\n"})
	last := write(t, dir, map[string]string{images: otherImages, "plain.yaml": thinRegistries + "images:\n" + otherImages})
	thin, plain := load.Manifests{Dir: filepath.Join(dir, "k8s")}, load.Manifests{File: filepath.Join(dir, "plain.yaml")}
	prod := image.NewRepository("prod.example.com", "images/orchard/apple")
	cases := map[string]struct {
		at           load.Manifests
		commit, file string
		digest       string
		want         string // the entry; empty: none
		err          string
	}{
		"thin":           {at: thin, commit: first, file: images, want: "k8s/images/orchard/images.yaml:3:5 [v2.1] staging.example.com/orchard/apple"},
		"plain":          {at: plain, commit: first, file: "plain.yaml", want: "plain.yaml:7:5 [v2.1] staging.example.com/orchard/apple"},
		"removed":        {at: thin, commit: last, file: images},
		"plain, removed": {at: plain, commit: last, file: "plain.yaml"},
		"another digest": {at: thin, commit: first, file: images, digest: otherSHA},
		"retagged":       {at: thin, commit: retag, file: images, digest: otherSHA, want: "k8s/images/orchard/images.yaml:3:5 [v2.1] staging.example.com/orchard/apple"},
		"broken":         {at: thin, commit: broken, file: images, err: "the manifest is broken: k8s/images/orchard/images.yaml:"},
		"unknown commit": {at: thin, commit: commitA, file: images, err: "commit " + commitA + " is not in this clone: fetch it first"},
		"abbreviated":    {at: thin, commit: first[:12], file: images, err: "commit " + first[:12] + " is not in this clone"},
		"not a commit":   {at: thin, commit: "HEAD", file: images, err: "commit HEAD is not in this clone"},
		"elsewhere":      {at: thin, commit: first, file: "other/images/orchard/images.yaml", err: `the record names the manifest "other/images/orchard/images.yaml", which is not a list of images in "k8s"`},
		"another file":   {at: thin, commit: first, file: registries, err: "which is not a list of images"},
		"out of it":      {at: thin, commit: first, file: "k8s/images/../images/orchard/images.yaml", err: "which is not a list of images"},
		"another plain":  {at: plain, commit: first, file: images, err: `the record names the manifest "k8s/images/orchard/images.yaml", not "plain.yaml"`},
		"no such team":   {at: thin, commit: first, file: "k8s/images/pear/images.yaml", err: "the manifest is broken"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commits, err := OpenCommits(c.at)
			if err != nil {
				t.Fatal(err)
			}
			d := digest
			if c.digest != "" {
				d.Hex = c.digest
			}
			for range 2 { // the second time from memory
				e, err := commits.Entry(c.commit, c.file, prod, d)
				if c.err != "" || err != nil {
					if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
						t.Fatalf("got error %v, want %q", err, c.err)
					}
					continue
				}
				got := ""
				if e != nil {
					got = e.Pos.String() + " [" + strings.Join(e.Tags, " ") + "] " + strings.Join(texts(e.Sources), " ")
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("entry (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestVersionsAreForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const images = "images/orchard/images.yaml"
	var ids []string
	files := map[string]string{"manifests/orchard/promoter-manifest.yaml": thinRegistries}
	for i := range maxVersions + 5 {
		files[images] = strings.Repeat("# more\n", i) + thinImages
		ids = append(ids, write(t, dir, files))
	}
	commits, err := OpenCommits(load.Manifests{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		e, err := commits.Entry(id, images, image.NewRepository("prod.example.com", "images/orchard/apple"), digest)
		if err != nil || e == nil || int(e.Pos.Line) != i+3 {
			t.Fatalf("commit %d: got %+v and error %v, want line %d", i, e, err, i+3)
		}
		if n := len(commits.versions); n > maxVersions {
			t.Fatalf("%d versions are kept, want at most %d", n, maxVersions)
		}
	}
}

func TestNoClone(t *testing.T) {
	t.Parallel()
	if _, err := OpenCommits(load.Manifests{Dir: t.TempDir()}); !errors.Is(err, git.ErrNoRepository) {
		t.Errorf("got error %v, want %v", err, git.ErrNoRepository)
	}
}
