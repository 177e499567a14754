package load

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCreateFiles creates files, and overwrites none.
func TestCreateFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	if err := CreateFiles(dir, map[string][]byte{"a/one": []byte("1")}); err != nil {
		t.Fatalf("CreateFiles: %v, want no error", err)
	}
	err := CreateFiles(dir, map[string][]byte{"a/one": []byte("2"), "0/two": []byte("2")})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "a/one")+" exists") {
		t.Errorf("CreateFiles again: got error %v, want that a/one exists", err)
	}
	got, _ := os.ReadFile(filepath.Join(dir, "a/one"))
	if _, err := os.Stat(filepath.Join(dir, "0/two")); string(got) != "1" || err == nil {
		t.Errorf("a/one: got %q, want 1; 0/two: got error %v, want that it does not exist", got, err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Skip(err)
	}
	if err := CreateFiles(dir, map[string][]byte{"b": nil, "out/file": nil}); err == nil {
		t.Error("CreateFiles through a link out of the directory: got no error, want one")
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
		t.Error("b: got a file, want none after a failure")
	}
}
