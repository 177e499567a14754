package output

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

func snapshotAs(t *testing.T, s inventory.Snapshot, f Format) string {
	t.Helper()
	return written(t, func(w io.Writer) error { return WriteSnapshot(w, s, f) })
}

func tagged(d string, tags ...string) inventory.Tagged {
	return inventory.Tagged{Digest: image.Hash(d), Tags: tags}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := inventory.Snapshot{
		{Name: "banana/split", Digests: []inventory.Tagged{tagged(digest("2"), "v1")}},
		{Name: "apple", Digests: []inventory.Tagged{tagged(digest("1")), tagged(digest("0"), "latest", "1.0")}},
		{Name: "empty"},
		{Name: "banana/split", Digests: []inventory.Tagged{tagged(digest("2"))}},
	}
	before := fmt.Sprint(s)
	equal(t, snapshotAs(t, s, YAML), `- name: apple
  dmap:
    "sha256:0000000000000000000000000000000000000000000000000000000000000000": ["1.0", "latest"]
    "sha256:1111111111111111111111111111111111111111111111111111111111111111": []
- name: banana/split
  dmap:
    "sha256:2222222222222222222222222222222222222222222222222222222222222222": ["v1"]
- name: empty
  dmap: {}
`)
	equal(t, snapshotAs(t, s, JSON), `[
  {
    "name": "apple",
    "dmap": {
      "sha256:0000000000000000000000000000000000000000000000000000000000000000": [
        "1.0",
        "latest"
      ],
      "sha256:1111111111111111111111111111111111111111111111111111111111111111": []
    }
  },
  {
    "name": "banana/split",
    "dmap": {
      "sha256:2222222222222222222222222222222222222222222222222222222222222222": [
        "v1"
      ]
    }
  },
  {
    "name": "empty",
    "dmap": {}
  }
]
`)
	equal(t, snapshotAs(t, s, CSV), `apple@sha256:0000000000000000000000000000000000000000000000000000000000000000,apple:1.0
apple@sha256:0000000000000000000000000000000000000000000000000000000000000000,apple:latest
apple@sha256:1111111111111111111111111111111111111111111111111111111111111111,-
banana/split@sha256:2222222222222222222222222222222222222222222222222222222222222222,banana/split:v1
`)
	equal(t, fmt.Sprint(s), before)
	equal(t, snapshotAs(t, nil, YAML), "[]\n")
	equal(t, snapshotAs(t, nil, JSON), "[]\n")
	equal(t, snapshotAs(t, nil, CSV), "")
}

func TestSnapshotForeign(t *testing.T) {
	t.Parallel()
	s := inventory.Snapshot{{Name: "a\n\u202e", Digests: []inventory.Tagged{tagged("sha256:\x1b", "x\n- name: b", `"y"`)}}}
	equal(t, snapshotAs(t, s, YAML), `- name: "a\n\u202e"
  dmap:
    "sha256:\x1b": ["\"y\"", "x\n- name: b"]
`)
	equal(t, snapshotAs(t, s, JSON), `[
  {
    "name": "a\n\u202e",
    "dmap": {
      "sha256:\u001b": [
        "\"y\"",
        "x\n- name: b"
      ]
    }
  }
]
`)
	equal(t, snapshotAs(t, s, CSV), `a\n\u202e@sha256:\x1b,"a\n\u202e:""y"""`+"\n"+`a\n\u202e@sha256:\x1b,a\n\u202e:x\n- name: b`+"\n")
}

func TestScalar(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"apple": "apple", "a/b-c_d.e__f": "a/b-c_d.e__f", "3scale": "3scale", "1/2": "1/2", "2048-game": "2048-game", "inf": "inf", "nan": "nan",
		"true": `"true"`, "off": `"off"`, "null": `"null"`, "y": `"y"`, "1.0": `"1.0"`, "0x10": `"0x10"`, "1e3": `"1e3"`, "2001-01-01": `"2001-01-01"`, "0b1": `"0b1"`, "0o7": `"0o7"`,
		"": `""`, "~": `"~"`, "-a": `"-a"`, "a: b": `"a: b"`, "a #b": `"a #b"`, "True": `"True"`, "é": `"é"`, "[a]": `"[a]"`,
	} {
		if got := scalar(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// names are repository names that YAML may take for something else.
var names = strings.Fields(`true false yes no on off y n null nil 1.0 1 0 007 0x10 0xff 0b1 0o7 1e3 1.e3 1e-3 12e03 0x1p-2 1_000 2001-01-01 2001-1-1 1.2.3
	2001-12-14t21 60 190 20-30 inf nan a b x 1a a1 0.inf e1 1f/2 3scale k8s 1z 0-0 0.0.0 0/0 library/true 1d 0xa.b 00 08 09 1.5e3 e 0e0 12t 9z`)

// randomName returns a random repository name, or one that looks like something else.
func randomName(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return names[r.IntN(len(names))]
	}
	const letters = "0123456789abcdefxotnyz"
	var b strings.Builder
	for i := range 1 + r.IntN(6) {
		if i > 0 {
			b.WriteString([]string{"", ".", "-", "_", "/", "--", "__"}[r.IntN(7)])
		}
		for range 1 + r.IntN(3) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
	}
	return b.String()
}

func randomSnapshot(r *rand.Rand) inventory.Snapshot {
	var s inventory.Snapshot
	for range r.IntN(30) {
		img := inventory.Image{Name: randomName(r)}
		for range 1 + r.IntN(3) {
			d := tagged(fmt.Sprintf("sha256:%064x", r.Uint64()))
			for range r.IntN(4) {
				tag := strings.NewReplacer("/", "_").Replace(randomName(r))
				if image.CheckTag(tag) == nil {
					d.Tags = append(d.Tags, tag)
				}
			}
			img.Digests = append(img.Digests, d)
		}
		s = append(s, img)
	}
	return s.Sort()
}

// tree returns a snapshot as its JSON form describes it.
func tree(s inventory.Snapshot) []jsonImage {
	all := []jsonImage{}
	for _, img := range s {
		entry := jsonImage{img.Name, map[v1.Hash][]string{}}
		for _, d := range img.Digests {
			entry.Dmap[d.Digest] = append([]string{}, d.Tags...)
		}
		all = append(all, entry)
	}
	return all
}

// TestSnapshotReadsBack checks that whatever reads a snapshot sees the inventory that was written.
func TestSnapshotReadsBack(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		s := randomSnapshot(r)
		text, want := snapshotAs(t, s, YAML), tree(s)
		var fromYAML, fromJSON []jsonImage
		if err := yaml.UnmarshalStrict([]byte(text), &fromYAML); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		equal(t, fromYAML, want)
		if err := json.Unmarshal([]byte(snapshotAs(t, s, JSON)), &fromJSON); err != nil {
			t.Fatal(err)
		}
		equal(t, fromJSON, want)
		var untyped []struct{ Name any } // as a reader without a type sees it
		if err := yaml3.Unmarshal([]byte(text), &untyped); err != nil {
			t.Fatal(err)
		}
		for i := range untyped {
			equal(t, untyped[i].Name, any(s[i].Name))
		}
		equal(t, fromManifest(t, text), s)
		if t.Failed() {
			t.Fatalf("in\n%s", text)
		}
	}
}

// TestNames checks each of the names alone, and untyped: a name that is no string fails.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range append(names, "", "é", "a: b", "- a", "\t", "\u0085", "\u2028x", "'", `\`, "\x7f", "🙂", "TRUE", "NaN", ".inf", "<<", "=", "1:20") {
		text := snapshotAs(t, inventory.Snapshot{{Name: name}}, YAML)
		var two []map[string]any
		if err := yaml.Unmarshal([]byte(text), &two); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		equal(t, two[0]["name"], any(name))
	}
}

// fromManifest returns what cip itself reads.
func fromManifest(t *testing.T, text string) inventory.Snapshot {
	t.Helper()
	set := manifest.Thin(fstest.MapFS{
		"manifests/a/promoter-manifest.yaml": {Data: []byte("registries: [{name: s.io, src: true}, {name: d.io}]\n")},
		"images/a/images.yaml":               {Data: []byte(text)},
	}, "")
	if !set.OK() {
		t.Fatalf("%v in\n%s", set.Faults, text)
	}
	var s inventory.Snapshot
	for _, m := range set.Manifests {
		for _, img := range m.Images {
			entry := inventory.Image{Name: img.Name}
			for _, d := range img.Digests {
				var tags []string
				for _, tag := range d.Tags {
					tags = append(tags, tag.Name)
				}
				entry.Digests = append(entry.Digests, inventory.Tagged{Digest: d.Digest, Tags: tags})
			}
			s = append(s, entry)
		}
	}
	return s.Sort()
}
