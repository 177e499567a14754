package manifest_test

import (
	"slices"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

func FuzzSelectors(f *testing.F) {
	f.Add("- {name: x, select: {semver: {range: 1.x}}, tags: ['{{.Tag}}']}", "- {name: x, digest: 'sha256:0', tags: []}")
	f.Add("- {name: x, select: {gitRevision: {repository: u, branch: m}}}", "[]")
	f.Add(fluxStream, "")
	f.Fuzz(func(_ *testing.T, sources, lock string) {
		manifest.ThinSelectors(thinTree(sources, lock), "", false)
	})
}

// FuzzEdit holds that an edit that is taken changes what it says and nothing else, and that one that is not changes nothing.
func FuzzEdit(f *testing.F) {
	f.Add("- name: x\n  dmap:\n    \""+dig("a")+"\": [\"1\"] # c\n", "v1")
	f.Add("[{name: x, dmap: {}}]", "true")
	f.Add("# c\n", "1.10")
	f.Add(`{"registries": [], "sources": []}`, "v1")
	f.Fuzz(func(t *testing.T, list, tag string) {
		for _, bare := range []bool{true, false} {
			text := manifest.NewImagesText([]byte(list), bare)
			if err := text.Add("x", manifest.Addition{Digest: image.Hash(dig("b")), Tags: []string{tag}}); err != nil {
				if string(text.Bytes()) != list {
					t.Errorf("got text %q after %v, want %q", text.Bytes(), err, list)
				}
				continue
			}
			wants, err := text.Wants()
			if err != nil || !slices.Contains(wants["x@"+dig("b")], tag) {
				t.Errorf("%q became %q: %v %v", list, text.Bytes(), wants, err)
			}
		}
	})
}
