package lookup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// TestSelectors resolves a selector, writes list and lock, and finds them in agreement.
func TestSelectors(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	app := registrytest.Image(1, 1)
	reg.Push(t, "staging/app", app, "v1")
	dir := t.TempDir()
	file := filepath.Join(dir, "promote.yaml")
	text := "registries:\n- {name: " + reg.Host + "/staging, src: true}\n- {name: " + reg.Host + "/prod}\n" +
		"images: []\nsources:\n- {name: app, select: {tag: v1}}\n- {name: other, select: {tag: v1}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := registry.New(registry.Options{NoAmbient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := OpenSelectors(load.Manifests{File: file}, []string{"app"}, true)
	defer s.Close()
	if s.Set.Broken() || s.Len() != 2 || s.Unknown() != "" {
		t.Fatalf("got faults %v, %d selectors, unknown %q, want none, 2, none", s.Set.Faults, s.Len(), s.Unknown())
	}
	stale, err := s.Stale()
	if err != nil || len(stale) != 1 || !strings.HasSuffix(stale[0].Message, ": run cip resolve --write") {
		t.Errorf("before: got faults %v, error %v, want one for app", stale, err)
	}
	steps := 0
	all := s.Resolve(t.Context(), client, resolve.Options{}, func(*selector.Selector) bool { return true }, nil, func() { steps++ })
	if steps != 1 || len(all) != 1 || len(all[0].Ran()) != 1 {
		t.Fatalf("got %d steps, results %+v, want 1 step and 1 result", steps, all)
	}
	if err := s.Amend(all); err != nil {
		t.Fatal(err)
	}
	if changed, same, failed := Count(all); changed != 1 || same != 0 || failed != 0 {
		t.Errorf("got %d changed, %d unchanged, %d failed, want 1, 0, 0: %v", changed, same, failed, all[0].Ran()[0].Err)
	}
	var diff strings.Builder
	if err := s.WriteDiff(&diff, all, false); err != nil || !strings.Contains(diff.String(), "\n+") || !strings.Contains(diff.String(), "--- /dev/null\n") {
		t.Errorf("got error %v and the diff\n%s\nwant additions and a new file", err, &diff)
	}
	var wrote []string
	if err := s.Write(all, func(path string) { wrote = append(wrote, path) }); err != nil {
		t.Fatal(err)
	}
	if len(wrote) != 2 || wrote[0] != file || !strings.HasSuffix(wrote[1], "lock.yaml") {
		t.Errorf("got %q written, want the list, then the lock", wrote)
	}
	after := OpenSelectors(load.Manifests{File: file}, []string{"app"}, true)
	defer after.Close()
	if stale, err := after.Stale(); err != nil || len(stale) != 0 {
		t.Errorf("after: got faults %v, error %v, want none", stale, err)
	}
}

func TestUnknownSelector(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := OpenSelectors(load.Manifests{Dir: dir}, []string{"apple"}, true)
	defer s.Close()
	if got := s.Unknown(); got != "apple" {
		t.Errorf("got unknown name %q, want apple", got)
	}
}
