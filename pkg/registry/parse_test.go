package registry

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

var descriptorDigest = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

func TestNextLink(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		headers []string
		want    string
	}{
		"none":             {nil, ""},
		"plain":            {[]string{`</v2/a/tags/list?n=2&last=b>; rel="next"`}, "/v2/a/tags/list?n=2&last=b"},
		"unquoted":         {[]string{`</x>; rel=next`}, "/x"},
		"other rel":        {[]string{`</x>; rel="prev"`}, ""},
		"second of two":    {[]string{`</p>; rel="prev", </n>; rel="next"`}, "/n"},
		"second header":    {[]string{`</p>; rel=prev`, `</n>; REL="next"`}, "/n"},
		"several rels":     {[]string{`</n>; rel="last next"`}, "/n"},
		"commas inside":    {[]string{`</n?a=1,2>; title="x, y"; rel="next"`}, "/n?a=1,2"},
		"nothing to close": {[]string{`</n; rel="next"`}, ""},
		"no rel":           {[]string{`</n>`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := nextLink(tc.headers); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</v2/a/tags/list?n=2>; rel="next"`)
	f.Add(`<<>>,;<`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := nextLink([]string{s}); got != "" && !strings.Contains(s, got) {
			t.Errorf("%q: got %q, want a part of it", s, got)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add(`{"schemaVersion":2,"config":{"digest":"sha256:`+strings.Repeat("0", 64)+`","size":1},"layers":[]}`, string(types.OCIManifestSchema1))
	f.Add(`{"manifests":[{"digest":"sha512:`+strings.Repeat("0", 128)+`","size":1}],"subject":{}}`, string(types.OCIImageIndex))
	f.Add(`[]`, "")
	f.Fuzz(func(t *testing.T, raw, mediaType string) {
		got, c, err := parse([]byte(raw), types.MediaType(mediaType))
		if err != nil {
			return
		}
		if !isManifest(got) || got == "" {
			t.Errorf("got media type %q, want one of a manifest", got)
		}
		for _, d := range append(c.Blobs, c.Children...) {
			if !descriptorDigest.MatchString(d.Digest.String()) || d.Size < 0 {
				t.Errorf("got %+v accepted, want a digest and a size", d)
			}
		}
		if len(c.Blobs)+len(c.Children) > MaxChildren {
			t.Errorf("got %d descriptors accepted, want %d at most", len(c.Blobs)+len(c.Children), MaxChildren)
		}
	})
}

func FuzzSignatureLayers(f *testing.F) {
	zeros := strings.Repeat("0", 64)
	f.Add(`{"layers":[{"mediaType":"` + string(image.CosignSimpleSigning) + `","digest":"sha256:` + zeros + `","size":1,"annotations":{"` + image.CosignSignatureAnnotation + `":"x"}}]}`)
	f.Add(`{"layers":[{"mediaType":"` + image.SigstoreBundlePrefix + `.v0.3+json","digest":"sha256:` + zeros + `","size":1}]}`)
	f.Add(`{"layers":null,"manifests":[{}]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		layers, err := signatureLayers(&Manifest{Raw: []byte(raw), MediaType: types.OCIManifestSchema1})
		if err == nil && len(layers) > maxSignatures {
			t.Errorf("got %d layers accepted, want %d at most", len(layers), maxSignatures)
		}
		for _, l := range layers {
			if !descriptorDigest.MatchString(l.Digest.String()) || l.Size < 0 {
				t.Errorf("got %+v accepted, want a digest and a size", l)
			}
		}
	})
}

func TestFallbackTag(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("ab", 64)
	for digest, want := range map[string]string{"sha256:" + hex[:64]: "sha256-" + hex[:64], "sha512:" + hex: "sha512-" + hex[:64]} {
		if got := FallbackTag(image.Hash(digest)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Only wanted tags of a tag list are stored, and all of them if the list is valid.
func FuzzTagList(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","tags":["1","2"]}`, `{"tags":null}`, `{"tags":[null,"../../x","\u001b[31m"]}`, `{"errors":[]}`, `{"tags":["1"]}{`,
		`{"child":["b"],"manifest":{"sha256:` + strings.Repeat("0", 64) + `":{"mediaType":"m","tag":["1"],"imageSizeBytes":"1"}},"tags":["1"]}`,
		`{"manifest":{"x":{"tag":[1]}}}`, `[]`, `{"tags":{"a":"b"}}`, `{"tags":["1"],"tags":["2"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &page{keep: func(tag string) bool { return image.CheckTag(tag) == nil }}
		if err := p.read(bytes.NewReader(raw)); err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Errorf("got %q accepted, want only JSON", raw)
		}
		kept := len(p.tags)
		for _, tag := range p.tags {
			if err := image.CheckTag(tag); err != nil {
				t.Errorf("kept: %v", err)
			}
		}
		for d, m := range p.manifests {
			if _, err := image.ParseDigest(d.String()); err != nil {
				t.Errorf("kept: %v", err)
			}
			for _, tag := range m.Tags {
				if err := image.CheckTag(tag); err != nil {
					t.Errorf("kept: %v", err)
				}
			}
		}
		if kept > p.names {
			t.Errorf("got %d tags, want %d at most, the number of names", kept, p.names)
		}
	})
}
