package registry_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

func TestEntries(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	text := `
registries:
- {name: s.example/s, src: true, service-account: reader, mirrors: [m.example/s]}
- {name: d.example/p, service-account: one, absent-status: [403]}
images: [{name: q/x, dmap: {'` + digest + `': []}}]
---
registries:
- {name: s.example/s, src: true}
- {name: d.example/p/q, service-account: two}
images: [{name: x, dmap: {'` + digest + `': []}}]`
	set := manifest.Plain(fstest.MapFS{"m.yaml": {Data: []byte(text)}}, "m.yaml", "m.yaml")
	s := registry.EntriesOf(set)
	at := func(path string) name.Repository {
		r, err := image.ParseRepository(path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for path, want := range map[string]string{"s.example/s/q/x": "reader", "m.example/s/q/x": "", "d.example/p/q/x": "one"} {
		if got := s.Account(at(path)); got != want {
			t.Errorf("%s: got account %q, want %q", path, got, want)
		}
	}
	if got := s.AbsentStatus(at("d.example/p/q/x")); len(got) != 1 || got[0] != 403 {
		t.Errorf("got absent statuses %v, want [403]", got)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "two") {
		t.Errorf("got warnings %q, want one about account two", s.Warnings)
	}
}
