package promote_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

func TestReferrersGoWithTheirSubject(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		src  []registrytest.Option
		dst  []registrytest.Option
	}{
		{"with the API on both sides", nil, nil},
		{"to a registry without the API", nil, []registrytest.Option{registrytest.Distribution()}},
		{"from a registry without the API", []registrytest.Option{registrytest.NoReferrers()}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t, tc.src...), registrytest.New(t, tc.dst...)
			img := registrytest.Image(1, 2)
			att := registrytest.Attestation(2, img)
			sub := registrytest.Image(3, 1)
			of := registrytest.Artifact(4, "application/vnd.example.sbom", registrytest.Subject(img))
			nested := registrytest.Artifact(5, "application/vnd.example.signature", registrytest.Subject(of))
			src.Push(t, "staging/a", img, "x")
			for _, o := range []registrytest.Object{sub, of, nested} {
				src.Push(t, "staging/a", o)
			}
			_ = att
			if len(tc.src) > 0 {
				listUnderTag(t, src, "staging/a", img, of)
				listUnderTag(t, src, "staging/a", of, nested)
			}
			r := rig{referrers: true, manifest: plain(want("a", img.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod")}
			p := r.run(t)
			if len(p.Items) != 3 {
				t.Fatalf("got items %+v, want 3", p.Items)
			}
			for _, o := range []registrytest.Object{of, nested} {
				if missing := dst.Complete(t, "prod/a", o.Digest); missing != nil {
					t.Errorf("got missing content %v, want none", missing)
				}
			}
			if len(tc.dst) > 0 {
				raw, _, ok := dst.Manifest(t, "prod/a", registry.FallbackTag(image.Hash(img.Digest)))
				if !ok || !strings.Contains(string(raw), of.Digest) || !strings.Contains(string(raw), "vnd.example.sbom") {
					t.Errorf("got fallback index %s (found: %t), want %s of vnd.example.sbom in it", raw, ok, of.Digest)
				}
			}
			dst.Reset()
			if p := r.run(t); len(p.Items) != 0 {
				t.Errorf("got %+v from a second run, want nothing to do", p.Items)
			}
			if w := dst.Writes(); len(w) != 0 {
				t.Errorf("got writes %v of the second run, want none", w)
			}
		})
	}
}

// listUnderTag does what clients of registries without the referrers API do.
func listUnderTag(t *testing.T, s *registrytest.Server, repo string, subject registrytest.Object, all ...registrytest.Object) {
	t.Helper()
	s.Push(t, repo, registrytest.Index(all), registry.FallbackTag(image.Hash(subject.Digest)))
}

// signature is an image as cosign stores it: one layer for each signature, which differ in their annotations.
func signature(t *testing.T, signatures ...string) registrytest.Object {
	t.Helper()
	type descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	payload := registrytest.NewBlob("application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{"critical":{}}`))
	var layers []descriptor
	ids := []string{}
	for _, s := range signatures {
		layers = append(layers, descriptor{payload.MediaType, payload.Digest, len(payload.Raw), map[string]string{"dev.cosignproject.cosign/signature": s}})
		ids = append(ids, payload.Digest)
	}
	conf, err := json.Marshal(map[string]any{"architecture": "", "os": "", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	if err != nil {
		t.Fatal(err)
	}
	config := registrytest.NewBlob("application/vnd.oci.image.config.v1+json", conf)
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": registrytest.OCIManifest, "layers": layers,
		"config": descriptor{config.MediaType, config.Digest, len(config.Raw), nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := registrytest.Wrap(registrytest.OCIManifest, raw)
	o.Blobs = []registrytest.Blob{config, payload}
	return o
}

func TestCosignTagsAreMerged(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img := registrytest.Image(1, 2)
	tag := registry.FallbackTag(image.Hash(img.Digest)) + ".sig"
	sbom := registry.FallbackTag(image.Hash(img.Digest)) + ".sbom"
	src.Push(t, "staging/a", img, "x")
	src.Push(t, "staging/a", signature(t, "one", "two"), tag)
	src.Push(t, "staging/a", signature(t, "sbom"), sbom)
	dst.Push(t, "prod/a", img, "1.0")
	dst.Push(t, "prod/a", signature(t, "other", "two"), tag)
	r := rig{referrers: true, manifest: plain(want("a", img.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod")}
	dry := r
	dry.dryRun = true
	planned := dry.run(t)
	if w := dst.Writes(); len(w) != 0 {
		t.Fatalf("got writes %v of the dry run, want none", w)
	}
	p := r.run(t)
	if p.UpToDate != 1 || len(p.Items) != 2 || len(planned.Items) != 2 {
		t.Fatalf("got %+v, planned %+v, want one edge up to date, and 2 items in both", p, planned.Items)
	}
	for i := range p.Items {
		if p.Items[i].Kind != plan.Referrer || p.Items[i].Digest != planned.Items[i].Digest {
			t.Errorf("got %+v, want the planned referrer %+v", p.Items[i], planned.Items[i])
		}
	}
	raw, _, _ := dst.Manifest(t, "prod/a", tag)
	got := string(raw)
	if strings.Count(got, `"one"`) != 1 || strings.Count(got, `"two"`) != 1 || strings.Index(got, `"other"`) > strings.Index(got, `"one"`) {
		t.Errorf("got merged %s, want one and two once, after other", got)
	}
	if missing := dst.Complete(t, "prod/a", tag); missing != nil {
		t.Errorf("got missing content %v, want none", missing)
	}
	if p := r.run(t); len(p.Items) != 0 {
		t.Errorf("got %+v from a second run, want nothing to do", p.Items)
	}
	src.Push(t, "staging/a", signature(t, "another sbom"), sbom)
	p = r.run(t)
	if len(p.Items) != 1 || p.Items[0].Action != plan.Conflict || p.Items[0].Status != plan.Refused {
		t.Errorf("differing SBOM: %+v", p.Items)
	}
}

// Only manifests that have a digest as their subject are promoted with it, even if a list names others.
func TestReferrersHaveTheSubject(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{"API": nil, "fallback tag": {registrytest.NoReferrers()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t, opts...), registrytest.New(t)
			img, plainImage := registrytest.Image(1, 1), registrytest.Image(2, 1)
			right := registrytest.Artifact(3, "application/vnd.example.sbom", registrytest.Subject(img))
			wrong := registrytest.Artifact(4, "application/vnd.example.sbom", registrytest.Subject(registrytest.Image(5, 1)))
			src.Push(t, "staging/a", img, "x")
			for _, o := range []registrytest.Object{plainImage, right, wrong} {
				src.Push(t, "staging/a", o)
			}
			list := registrytest.Index([]registrytest.Object{plainImage, right, wrong})
			src.Push(t, "staging/a", list, registry.FallbackTag(image.Hash(img.Digest)))
			if opts == nil {
				src.Fault(registrytest.Status(200, registrytest.Header("Content-Type", registrytest.OCIIndex), string(list.Raw)),
					registrytest.Is(registrytest.Referrers), registrytest.Ref(img.Digest))
			}
			r := rig{referrers: true, manifest: plain(want("a", img.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod", dst.Host+"/eu")}
			p := r.run(t)
			names := map[string]string{img.Digest: "img", plainImage.Digest: "plain", right.Digest: "right", wrong.Digest: "wrong"}
			got := strings.Split(strings.TrimSpace(lines(p, names)), "\n")
			slices.Sort(got)
			want := []string{"copy done eu/a img 1.0", "copy done eu/a right ", "copy done prod/a img 1.0", "copy done prod/a right"}
			for i := range want {
				if len(got) != len(want) || strings.TrimSpace(got[i]) != strings.TrimSpace(want[i]) {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if len(p.Warnings) != 2 {
				t.Errorf("got warnings %q, want one for each that is left out", p.Warnings)
			}
			for _, digest := range []string{plainImage.Digest, wrong.Digest} {
				if _, _, there := dst.Manifest(t, "prod/a", digest); there {
					t.Errorf("got %s promoted, want it left out", names[digest])
				}
			}
			if n := src.Count(registrytest.ManifestGet); n > 6 { // img, three that are listed, the list by its tag
				t.Errorf("got %d GETs of manifests, want 6 at most: what is judged is not read again", n)
			}
		})
	}
}

// The key referrers of a destination beats the flag. Referrers that a policy accepts are
// not promoted here: package attest carries them along.
func TestReferrersOfADestination(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flag bool
		key  string
		want int // referrers
	}{
		"flag":                    {true, "", 1},
		"no flag":                 {false, "", 0},
		"all without the flag":    {false, "referrers: all", 1},
		"none beats the flag":     {true, "referrers: none", 0},
		"accepted beats the flag": {true, "referrers: accepted", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			img := registrytest.Image(1, 1)
			src.Push(t, "staging/a", img, "x")
			src.Push(t, "staging/a", registrytest.Artifact(2, "application/vnd.example.sbom", registrytest.Subject(img)))
			text := plain(want("a", img.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod")
			if tc.key != "" {
				entry := "- name: " + dst.Host + "/prod\n"
				if !strings.Contains(text, entry) {
					t.Fatalf("got manifest without %q\n%s", entry, text)
				}
				text = strings.Replace(text, entry, entry+"  "+tc.key+"\n", 1)
			}
			got := 0
			for _, it := range (rig{referrers: tc.flag, manifest: text}).run(t).Items {
				if it.Kind == plan.Referrer {
					got++
				}
			}
			if n := src.Count(registrytest.Referrers); got != tc.want || (n == 0) != (tc.want == 0) {
				t.Errorf("got %d referrers with %d requests for them, want %d", got, n, tc.want)
			}
		})
	}
}
