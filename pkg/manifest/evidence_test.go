package manifest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// withDestinations reads a manifest with the given entries as destinations.
func withDestinations(t *testing.T, entries ...string) *Manifest {
	t.Helper()
	text := "registries:\n- {name: gcr.io/staging, src: true}\n- " + strings.Join(entries, "\n- ") + "\n" +
		"images:\n- name: apple\n  dmap:\n    \"sha256:" + strings.Repeat("a", 64) + "\": [v1]\n" +
		"  retag:\n  - {src_build_tag: b, src_ref: r, tag: v2, digest: \"sha256:" + strings.Repeat("b", 64) + "\"}\n"
	set := Plain(fstest.MapFS{"m.yaml": {Data: []byte(text)}}, "m.yaml", "m.yaml")
	if !set.OK() {
		t.Fatalf("got faults %v, want none", set.Faults)
	}
	return set.Manifests[0]
}

func TestAttested(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []string
		want    []string
	}{
		"none":       {[]string{"name: a.example", "name: b.example"}, []string{"a.example"}},
		"the last":   {[]string{"name: a.example", "{name: b.example, attestations: true}"}, []string{"b.example"}},
		"all":        {[]string{"{name: a.example, attestations: true}", "{name: b.example, attestations: true}"}, []string{"a.example", "b.example"}},
		"only false": {[]string{"{name: a.example, attestations: false}", "name: b.example"}, []string{"a.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, r := range withDestinations(t, c.entries...).Attested() {
				got = append(got, r.Name.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("destinations (-want +got):\n%s", diff)
			}
		})
	}
	if got := (&Manifest{Native: true}).Attested(); len(got) != 0 {
		t.Errorf("a native file: got %v, want none", got)
	}
}

func TestProduction(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"name: us.example/prod/kops":                                       "us.example/prod/kops/apple us.example/prod/kops/apple",
		"{name: us.example/prod/kops, public-name: registry.example/kops}": "us.example/prod/kops/apple registry.example/kops/apple",
		"{name: us.example/prod/kops, public-name: registry.example}":      "us.example/prod/kops/apple registry.example/apple",
		"name: docker.io/kops":                                             "index.docker.io/kops/apple index.docker.io/kops/apple",
	} {
		repo, production, err := withDestinations(t, entry).Destinations[0].Production("apple")
		if err != nil {
			t.Fatal(err)
		}
		if got := repo.String() + " " + production; got != want {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
	if _, _, err := withDestinations(t, "name: us.example").Destinations[0].Production("A"); err == nil {
		t.Error("a bad name: got no error, want one")
	}
}

func TestBelowPublicName(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"name: us.example/prod":                                             "",
		"{name: us.example/prod, public-name: registry.example}":            "kops/apple",
		"{name: us.example/prod, public-name: registry.example/kops}":       "apple",
		"{name: us.example/prod, public-name: registry.example/ko}":         "",
		"{name: us.example/prod, public-name: registry.example/kops/apple}": "",
		"{name: us.example/prod, public-name: other.example}":               "",
	} {
		got, ok := withDestinations(t, entry).Destinations[0].BelowPublicName(image.NewRepository("registry.example", "kops/apple"))
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %q and %t, want %q", entry, got, ok, want)
		}
	}
}

func TestImageWants(t *testing.T) {
	t.Parallel()
	img := withDestinations(t, "name: us.example").Images[0]
	for digit, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if got := img.Wants(image.Hash("sha256:" + strings.Repeat(digit, 64))); got != want {
			t.Errorf("digest %s…: got %t, want %t", digit, got, want)
		}
	}
}

func TestTeam(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for _, team := range []string{"apple", "pear"} {
		images, registries := TeamFiles(team)
		files[registries] = &fstest.MapFile{Data: []byte("registries:\n- {name: gcr.io/" + team + ", src: true}\n- name: prod.example\n")}
		files[images] = &fstest.MapFile{Data: []byte("- name: " + team + "\n  dmap: {}\n")}
	}
	set := Team(files, "k8s", "pear")
	if len(set.Manifests) != 1 || set.Manifests[0].File != "k8s/manifests/pear/promoter-manifest.yaml" {
		t.Errorf("got %+v, want the manifest of pear alone", set.Manifests)
	}
	if set := Team(files, "k8s", "fig"); !set.Broken() {
		t.Errorf("a team that does not exist: got faults %v, want a broken set", set.Faults)
	}
}
