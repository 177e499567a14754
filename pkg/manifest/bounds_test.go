package manifest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// grown returns a plain manifest of some destinations and images, each image with a digest of some tags.
func grown(destinations, mirrors, images, tags int) string {
	var b strings.Builder
	b.WriteString("registries:\n- {name: s.io/p, src: true, mirrors: [")
	for i := range mirrors {
		fmt.Fprintf(&b, "m%d.io, ", i)
	}
	b.WriteString("]}\n")
	for i := range destinations {
		fmt.Fprintf(&b, "- name: d.io/q%d\n", i)
	}
	b.WriteString("images:\n")
	for i := range images {
		fmt.Fprintf(&b, "- name: i%d\n  dmap: {$A: [", i)
		for j := range tags {
			fmt.Fprintf(&b, "t%d, ", j)
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

func TestEdgesOfFilesAreBounded(t *testing.T) {
	t.Parallel()
	const edges, repositories = "more than 10000000 tags", "more than 1000000 destination repositories"
	tests := map[string]struct {
		text string
		want string // part of a broken file's fault; "": there is none
	}{
		"the most repositories": {grown(1000, 0, 1000, 1), ""},
		"too many":              {grown(1001, 0, 1000, 1), repositories},
		"with mirrors":          {grown(501, 500, 1000, 1), repositories},
		"the most edges":        {grown(1000, 0, 10, 1000), ""},
		"too many edges":        {grown(1001, 0, 10, 1000), edges},
		"bad tags":              {strings.ReplaceAll(grown(1001, 0, 10, 1000), ", t", ", -t"), edges},
		"in several documents":  {grown(600, 0, 1000, 1) + "---\n" + grown(600, 0, 1000, 1), repositories},
		"registries":            {grown(10_000, 0, 1, 1), "more than 10000 registries"},
		"items of a list":       {grown(1, 1001, 1, 1), "mirrors: more than 1000 items"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := plain(tc.text)
			broken := slices.ContainsFunc(set.Faults, func(f Fault) bool { return f.Severity == Broken && strings.Contains(f.Message, tc.want) })
			if broken != (tc.want != "") {
				t.Errorf("faults %q, want %q", faults(set)[:min(3, len(set.Faults))], tc.want)
			}
			repos, all := 0, 0
			for _, m := range set.Manifests {
				r, e := m.size()
				repos, all = repos+r, all+e
			}
			if repos > maxRepositories || all > maxEdges {
				t.Errorf("the set wants %d edges in %d repositories, want what is beyond the limits left out", all, repos)
			}
		})
	}
}

func TestEdgesOfAllFilesAreBounded(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for _, team := range []string{"a", "b"} {
		text := expand(grown(600, 0, 1000, 1))
		registries, images, _ := strings.Cut(text, "images:\n")
		files["manifests/"+team+"/promoter-manifest.yaml"] = &fstest.MapFile{Data: []byte(registries)}
		files["images/"+team+"/images.yaml"] = &fstest.MapFile{Data: []byte(images)}
	}
	set := Thin(files, "")
	equal(t, faults(set), []string{"broken manifests/b/promoter-manifest.yaml: more than 1000000 destination repositories: " +
		"each image name of a manifest is one in each of its destinations and mirrors; those of files before count as well"})
	if all := Join(plain(grown(600, 0, 1000, 1)), plain(grown(600, 0, 1000, 1))); !all.Broken() {
		t.Error("two files together are not broken, want them to be")
	}
}
