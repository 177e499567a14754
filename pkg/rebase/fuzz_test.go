package rebase

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// parseInput parses the manifest and the configuration of an image.
func parseInput(manifest, config []byte, mediaType string) (*inputImage, error) {
	p, err := newInputImage(Reference{}, &registry.Manifest{Digest: registry.DigestOf(manifest), MediaType: types.MediaType(mediaType), Raw: manifest})
	if err == nil {
		err = p.parseConfig(config)
	}
	return p, err
}

// FuzzAssemble checks that every app is refused or rebased, and that a second rebase
// changes nothing.
func FuzzAssemble(f *testing.F) {
	old, fresh := baseImage(1, oldLayers), baseImage(2, newLayers)
	app := appImage(3, old, oldLayers, "r.example/run")
	add := func(config string) { f.Add(app.Raw, []byte(config)) }
	add(string(app.Blobs[0].Raw))
	config := string(app.Blobs[0].Raw)
	for _, history := range []string{`null`, `[]`, `[{}]`, `[null]`, `[{"empty_layer":true},{},{},{"empty_layer":true},{},{}]`, `[{"empty_layer":1},{},{},{}]`, `7`} {
		at := bytes.Index([]byte(config), []byte(`"history":`))
		add(config[:at] + `"history":` + history + "}")
	}
	for _, text := range []string{"", "{}", "[]", `{"config":null,"rootfs":null}`, `{"rootfs":{"diff_ids":["a"]}}`, `{"a":1,"a":2}`} {
		add(text)
	}
	f.Add(registrytest.MultiArch(1, 2, 1).Raw, []byte("{}"))
	base, err := parseInput(fresh.Raw, fresh.Blobs[0].Raw, string(types.OCIManifestSchema1))
	if err != nil {
		f.Fatal(err)
	}
	to := newBase{given: "r.example/run"}
	if to.Reference, err = ParseReference(to.given); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		p, err := parseInput(manifest, config, string(types.OCIManifestSchema1))
		if err != nil {
			return
		}
		m, err := parseMetadata(p.labels[lifecycleLabel])
		if err != nil {
			return
		}
		img, err := assemble(p, base, m, to, Options{Force: true})
		if err != nil || img.UpToDate {
			return
		}
		again, err := parseInput(img.Manifest.Raw, img.blobs[0].raw, string(types.OCIManifestSchema1))
		if err != nil {
			t.Fatalf("the result is not an image: %v\n%s\n%s", err, img.Manifest.Raw, img.blobs[0].raw)
		}
		if m, err = parseMetadata(again.labels[lifecycleLabel]); err != nil {
			t.Fatal(err)
		}
		if cut, err := baseLayerCount(again, m); err == nil && cut > len(base.layers) {
			return // a layer of the app's own is the base's top layer, too
		}
		second, err := assemble(again, base, m, to, Options{})
		if err != nil || !second.UpToDate {
			t.Errorf("a second time: got %v, %+v, want it up to date", err, second)
		}
	})
}

// FuzzObject checks that an object encodes to the JSON that it was parsed from.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1.0e3,"<b>":[1, 2],"c":{"d":null}}`, `{"a":1}x`, `{"a":1,"a":2}`, `[`, `{"a"`, "{\"\\ud800\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseObject(raw)
		if err != nil {
			return
		}
		out, err := strictjson.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("parsed an object that is not JSON: %v", err)
		}
		if err := json.Unmarshal(out, &got); err != nil || !reflect.DeepEqual(want, got) {
			t.Errorf("got %s, %v, want %s", out, err, raw)
		}
		if again, err := parseObject(out); err != nil {
			t.Error(err)
		} else if twice, _ := strictjson.Marshal(again); !bytes.Equal(out, twice) {
			t.Errorf("got %s, want %s again", twice, out)
		}
	})
}

// FuzzParseFile checks that every file gives names or an error.
func FuzzParseFile(f *testing.F) {
	for _, s := range []string{"image = 'x'\nmirrors = ['y']", "[[images]]\nimage='a'", "[stack]\nrun-image = 'a'\n[[run.images]]\nimage='b'", "a = [[[{b = 1}]]]", "image = 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseFile("f", data)
		if err == nil && got.Images == nil && got.LocalMirrors == nil {
			t.Error("got neither names nor an error, want one of them")
		}
	})
}

// FuzzParseReference checks that String returns a name that parses to the same
// reference.
func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"ubuntu", "a/b:1", "gcr.io/a/b@sha256:", "localhost:5000/x:y", "[::1]:5000/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if again, err := ParseReference(r.String()); err != nil || again != r {
			t.Errorf("%q: got %s, %v, want %s again", s, again, err, r)
		}
	})
}
