package rebase

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// Each image of an index is rebased. Attestations of the old images are dropped.
func TestIndex(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	run, name := s.Host+"/base/run:22", s.Host+"/shop/web:1.4"
	var apps, bases []registrytest.Object
	for i, p := range []string{"linux/amd64", "linux/arm64/v8"} {
		platform := registrytest.Platform(p)
		old := baseImage(10+i, []int{10 * i, 10*i + 1}, platform)
		bases = append(bases, baseImage(20+i, []int{10 * i, 10*i + 2}, platform))
		apps = append(apps, appImage(30+i, old, []int{10 * i, 10*i + 1}, run, platform))
	}
	app := registrytest.Index(append(slices.Clone(apps), registrytest.Attestation(40, apps[0])),
		registrytest.Annotate("kept", "yes"), registrytest.Annotate("org.opencontainers.image.base.digest", "old"))
	s.Push(t, "base/run", registrytest.Index(append(slices.Clone(bases), registrytest.Attestation(41, bases[0]))), "22")
	s.Push(t, "shop/web", app, "1.4")
	res, names := rebaseTo(t, "", Options{}, name)
	if names[0].State != NameSaved || len(res.Images) != 2 {
		t.Fatalf("got %+v, want it saved", names[0])
	}
	if missing := s.Complete(t, "shop/web", "1.4"); missing != nil {
		t.Errorf("got missing %v, want nothing missing", missing)
	}
	contains(t, strings.Join(res.Notes, "\n"), "attestation "+app.Children[2].Digest+" is dropped")
	_, children, err := parseIndex(res.Manifest)
	if err != nil || len(children) != 2 {
		t.Fatalf("%v: got %d children, want 2", err, len(children))
	}
	for i, c := range children {
		v := decode(t, res.Images[i])
		if want := slices.Concat(bases[i].DiffIDs(), apps[i].DiffIDs()[2:]); !slices.Equal(v.Config.RootFS.DiffIDs, want) {
			t.Errorf("%s: got diff IDs %v, want %v", c.platform, v.Config.RootFS.DiffIDs, want)
		}
		if c.Digest != res.Images[i].Manifest.Digest || c.platform.String() != apps[i].Platform || v.Config.Variant != c.platform.Variant {
			t.Errorf("child %d: got %s for %s, want %s for %s", i, c.Digest.String(), c.platform, res.Images[i].Manifest.Digest.String(), apps[i].Platform)
		}
	}
	contains(t, string(res.Manifest.Raw), `"annotations":{"kept":"yes","org.opencontainers.image.base.digest":"`+res.Onto.Digest.String()+`"}`)
	checkRequests(t, s, map[registrytest.Kind]int{
		registrytest.ManifestGet: 6, registrytest.BlobGet: 4, registrytest.Mount: 2, registrytest.UploadPost: 2,
		registrytest.ManifestHead: 2, registrytest.ManifestPut: 3,
	})
	s.Reset()
	if again, names := rebaseTo(t, "", Options{}, name); !again.UpToDate || names[0].State != NameUpToDate || len(s.Writes()) > 0 {
		t.Errorf("second run: got %+v and writes %v, want up to date and no writes", names, s.Writes())
	}
	// If one image of the run image changes, the other app image is copied unchanged.
	s.Push(t, "base/run", registrytest.Index([]registrytest.Object{bases[0], baseImage(22, []int{10, 13}, registrytest.Platform("linux/arm64/v8"))}), "22")
	res, names = rebaseTo(t, name, Options{}, s.Host+"/shop/copy:1", name)
	if !res.Images[0].UpToDate || res.Images[1].UpToDate || s.Complete(t, "shop/copy", "1") != nil || names[1].State != NameSaved {
		t.Errorf("got up to date %t, %t; missing %v; %+v, want true, false, nothing missing, saved", res.Images[0].UpToDate, res.Images[1].UpToDate, s.Complete(t, "shop/copy", "1"), names)
	}
}
