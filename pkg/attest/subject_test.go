package attest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// manifests parses plain manifests, by their names.
func manifests(t *testing.T, texts map[string]string) *manifest.Set {
	t.Helper()
	all := &manifest.Set{}
	for _, name := range []string{"a.yaml", "b.yaml"} {
		if texts[name] == "" {
			continue
		}
		set := manifest.Plain(fstest.MapFS{name: {Data: []byte(texts[name])}}, name, name)
		for _, f := range set.Faults {
			if f.Severity > manifest.Warning {
				t.Fatal(f)
			}
		}
		all.Manifests = append(all.Manifests, set.Manifests...)
	}
	return all
}

// entry is a manifest with one image.
func entry(source string, tags string, registries ...string) string {
	return "registries:\n- name: " + source + "\n  src: true\n" + strings.Join(registries, "") +
		"images:\n- name: apple\n  dmap:\n    \"" + digest + "\": [" + tags + "]\n"
}

func to(name string, keys ...string) string {
	text := "- name: " + name + "\n"
	for _, k := range keys {
		text += "  " + k + "\n"
	}
	return text
}

func written(repo, tag string, status plan.Status) plan.Item {
	host, path, _ := strings.Cut(repo, "/")
	return plan.Item{
		Action: plan.Copy, Status: status, Destination: image.NewRepository(host, path), Digest: image.Hash(digest), Tag: tag,
		From: image.NewRepository("mirror.example.com", "s/apple"),
	}
}

func TestPromoted(t *testing.T) {
	t.Parallel()
	const east, west = "east.example.com/prod", "west.example.com/prod"
	public := "public-name: registry.example.com"
	done := func(repo, tag string) plan.Item { return written(repo+"/apple", tag, plan.Done) }
	for name, tc := range map[string]struct {
		manifests map[string]string
		items     []plan.Item
		referrers manifest.ReferrersMode
		want      []string // repository, name, tags, sources, what it gets
	}{
		"the first destination": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east), to(west))}, []plan.Item{done(east, "1"), done(west, "1")}, 0,
			[]string{"east.example.com/prod/apple east.example.com/prod/apple [1] [s.io/s/apple] attested true carries false"},
		},
		"only another one": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east), to(west))}, []plan.Item{done(west, "1")}, 0, nil,
		},
		"a key, and one public name": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east, public), to(west, public, "attestations: true"))},
			[]plan.Item{done(east, "1"), done(west, "2")}, manifest.ReferrersAccepted,
			[]string{"west.example.com/prod/apple registry.example.com/apple [1 2] [s.io/s/apple] attested true carries true"},
		},
		"two keys": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east, "attestations: true"), to(west, "attestations: true", "referrers: none"))},
			[]plan.Item{done(east, "1"), done(west, "1")}, manifest.ReferrersAccepted,
			[]string{
				"east.example.com/prod/apple east.example.com/prod/apple [1] [s.io/s/apple] attested true carries true",
				"west.example.com/prod/apple west.example.com/prod/apple [1] [s.io/s/apple] attested true carries false",
			},
		},
		"accepted, without evidence": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east), to(west, "referrers: accepted"))}, []plan.Item{done(east, "1"), done(west, "1")}, manifest.ReferrersAll,
			[]string{
				"east.example.com/prod/apple east.example.com/prod/apple [1] [s.io/s/apple] attested true carries false",
				"west.example.com/prod/apple west.example.com/prod/apple [1] [s.io/s/apple] attested false carries true",
			},
		},
		"two sources": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east)), "b.yaml": entry("t.io/t", "1", to(east))}, []plan.Item{done(east, "1")}, 0,
			[]string{"east.example.com/prod/apple east.example.com/prod/apple [1] [s.io/s/apple t.io/t/apple] attested true carries false"},
		},
		"a retag entry": {
			map[string]string{"a.yaml": strings.Replace(entry("s.io/s", "1", to(east)), "  dmap:\n    \""+digest+"\": [1]\n", "  retag: [{src_build_tag: x, tag: '7'}, {src_build_tag: x, tag: '8'}]\n", 1)}, []plan.Item{done(east, "7")}, 0,
			[]string{"east.example.com/prod/apple east.example.com/prod/apple [7] [s.io/s/apple] attested true carries false"},
		},
		"tagless": {
			map[string]string{"a.yaml": entry("s.io/s", "", to(east))}, []plan.Item{done(east, "")}, 0,
			[]string{"east.example.com/prod/apple east.example.com/prod/apple [] [s.io/s/apple] attested true carries false"},
		},
		"what is not written": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east))},
			[]plan.Item{written(east+"/apple", "1", plan.Failed), written(east+"/apple", "2", plan.Skipped), written(east+"/pear", "1", plan.Done)}, 0, nil,
		},
		"a tag of cosign": {
			map[string]string{"a.yaml": entry("s.io/s", "1", to(east))}, []plan.Item{done(east, strings.Replace(digest, ":", "-", 1)+".sig")}, 0, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, s := range attest.Promoted(manifests(t, tc.manifests), tc.items, tc.referrers) {
				var sources []string
				for _, w := range s.Wants {
					sources = append(sources, w.Source.String())
				}
				got = append(got, fmt.Sprintf("%s %s %v %v attested %t carries %t", s.Repository, s.Name, s.Tags, sources, s.Attested, s.Carries))
				if !s.Absent || s.From.String() != "mirror.example.com/s/apple" {
					t.Errorf("got absent %t, from %s, want what the item says", s.Absent, s.From)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
