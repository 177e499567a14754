package load_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/gittest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// A base whose files are not all in the clone is not compared with as if they were empty.
func TestRevisionIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	images := "- name: apple\n  dmap: {}\n"
	for name, text := range map[string]string{
		"images/a/images.yaml":               images,
		"manifests/a/promoter-manifest.yaml": "registries: [{name: r.example/a, src: true}, {name: r.example/b}]\n",
		"plain.yaml":                         "registries: [{name: r.example/a, src: true}, {name: r.example/b}]\nimages: []\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	gittest.CommitAll(t, dir)
	thin, plain := load.Manifests{Dir: dir}, load.Manifests{File: filepath.Join(dir, "plain.yaml")}
	for _, m := range []load.Manifests{thin, plain} {
		if set, err := readHead(t, m); err != nil || len(set.Manifests) != 1 {
			t.Fatalf("%s: got %v, %v, want one manifest", m.Path(), set, err)
		}
	}
	lost := plumbing.ComputeHash(plumbing.BlobObject, []byte(images)).String()
	if err := os.Remove(filepath.Join(dir, ".git/objects", lost[:2], lost[2:])); err != nil {
		t.Fatal(err)
	}
	if _, err := readHead(t, thin); !errors.Is(err, git.ErrUnreadable) {
		t.Errorf("without images.yaml: got error %v, want ErrUnreadable", err)
	}
	if set, err := readHead(t, plain); err != nil || len(set.Manifests) != 1 {
		t.Errorf("a plain manifest that is complete: got %v, error %v, want one manifest", set, err)
	}
}

func readHead(t *testing.T, m load.Manifests) (*manifest.Set, error) {
	t.Helper()
	r, err := m.Revision(t.Context(), "HEAD", time.Now(), os.Getenv)
	if err != nil {
		return nil, err
	}
	return r.Read()
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "report.json")
	write := func(text string, err error) error {
		return load.WriteFile(path, func(w io.Writer) error {
			_, werr := io.WriteString(w, text)
			return errors.Join(err, werr)
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("new", broken); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	if got, err := os.ReadFile(path); string(got) != "old" || err != nil {
		t.Errorf("after a failure: got %q, error %v, want the old text", got, err)
	}
	if files, err := os.ReadDir(dir); len(files) != 1 || err != nil {
		t.Errorf("got %d files, error %v, want no temporary file", len(files), err)
	}
	if err := load.CheckWritable(dir); err == nil {
		t.Error("got no error for a directory, want one")
	}
	if err := load.CheckWritable(filepath.Join(dir, "none", "x")); err == nil {
		t.Error("got no error for a file in no directory, want one")
	}
}

// Before the first commit there are no manifests, and none that could be broken.
func TestRevisionBeforeFirst(t *testing.T) {
	t.Parallel()
	for _, at := range []load.Manifests{{Dir: "."}, {File: "promote.yaml"}} {
		r, err := at.In(nil, "", at.Path())
		if err != nil {
			t.Fatal(err)
		}
		set, err := r.Read()
		if err != nil || !set.Absent || len(set.Faults) > 0 {
			t.Errorf("%s: got %+v, error %v, want a set that is absent, without faults", at.Path(), set, err)
		}
		set, selectors, err := r.ReadAll(false)
		if err != nil || !set.Absent || len(set.Faults)+len(selectors) > 0 {
			t.Errorf("%s: got %+v, selectors %v, error %v, want a set that is absent, without faults", at.Path(), set, selectors, err)
		}
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	var dirs, commits []string
	for _, text := range []string{"a", "b"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		dirs, commits = append(dirs, dir), append(commits, gittest.CommitAll(t, dir))
	}
	if got, err := load.Commit(dirs[0], dirs[0]); err != nil || got != commits[0] {
		t.Errorf("one repository: got %q and error %v, want %q", got, err, commits[0])
	}
	const want = "the files belong to 2 commits"
	if _, err := load.Commit(dirs[0], dirs[1], dirs[0]); err == nil || err.Error() != want {
		t.Errorf("two repositories: got error %v, want %q", err, want)
	}
}
