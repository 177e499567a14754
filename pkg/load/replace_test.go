package load_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
)

// A file that has changed since it was read keeps the others from being replaced.
func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(name, want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want || err != nil {
			t.Errorf("%s: got %q, error %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := load.Manifests{Dir: dir}
	all := []load.Replacement{{Name: "a", Old: []byte("old"), New: []byte("new")}, {Name: "b", Old: []byte("other"), New: []byte("new")}}
	err := at.Replace(all)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "b")+" has changed since it was read") {
		t.Errorf("got error %v, want one about b", err)
	}
	check("a", "old")
	all[1].Old = []byte("old")
	if err := at.Replace(all); err != nil {
		t.Error(err)
	}
	check("a", "new")
	check("b", "new")
	if err := (load.Manifests{File: filepath.Join(dir, "c")}).Replace([]load.Replacement{{Name: "c"}}); err == nil {
		t.Error("got no error for a file that does not exist, want one")
	}
}
