package manifest

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// seeds are texts near which something may go wrong.
func seeds(f *testing.F) {
	for _, text := range []string{
		"", "---\n", "# none\n", "- {name: a, dmap: {$A: [x, ~], $C: }}\n", "images: []\n",
		twoRegistries + "images:\n- {name: a, dmap: {$A: [x]}}\n---\n",
		twoRegistries + "images:\n- &m {<<: [*m, *m], name: a, dmap: {}}\n",
		"images:\n- {name: d.io/a, src_build_tag: s, tag: t}\n- {name: b, src_build_tag: s, tag: -}\n",
		"images: [{name: a, retag: [{src_build_tag: s, src_ref: r, tag: t, digest: $B}]}]\n",
		"registries:\n- name: d.io\n  mirrors: [a.b]\n  mutable-tags: ['[']\n  absent-status: [403]\n",
		"a: b\n- c\n", "? [a]\n: *x\n", "a: \"\x01\"\n", "{\"a\":\t[1,\n2]}", "\ufeffa: |\n  b\r\n",
		"a:\n  # c\n  - b\n # d\n", "- a\n#\n  # x\n-\n", "%YAML 1.1\n--- !!map {a: !!str b}\n...\n",
	} {
		f.Add([]byte(expand(text)))
	}
}

// sound reports what plan must never get to see.
func sound(t *testing.T, set *Set) {
	t.Helper()
	for _, m := range set.Manifests {
		if !m.usable() {
			t.Errorf("got manifest %+v, want a source and a destination", m)
		}
		for _, im := range m.Images {
			if m.Native == (im.Repository == (name.Repository{})) {
				t.Errorf("got image %q with repository %v in a manifest that is native %t, want none exactly if not", im.Name, im.Repository, m.Native)
			}
			for _, d := range im.Digests {
				if _, err := image.ParseDigest(d.Digest.String()); err != nil {
					t.Error(err)
				}
				for _, tag := range d.Tags {
					if err := image.CheckTag(tag.Name); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
	for _, f := range set.Faults {
		if f.Message == "" || f.Severity == 0 || f.Pos.File == "" || f.Pos.Line < 0 || len(f.Message) > 4000 {
			t.Errorf("got fault %#v, want a short message, a severity and a position", f)
		}
	}
}

func FuzzPlain(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		sound(t, Plain(fstest.MapFS{"m.yaml": {Data: text}}, "m.yaml", ""))
		sound(t, Native(fstest.MapFS{"m.yaml": {Data: text}}, "m.yaml", "m.yaml"))
	})
}

func FuzzImages(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		set := Thin(fstest.MapFS{
			"manifests/d/promoter-manifest.yaml": {Data: []byte(twoRegistries)},
			"images/d/images.yaml":               {Data: text},
		}, "")
		sound(t, set)
		if len(set.Manifests) != 1 {
			t.Errorf("%d manifests, want 1", len(set.Manifests))
		}
	})
}
