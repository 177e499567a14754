package rebase

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// fixture is a registry with an app on an old run image, and a newer run image.
type fixture struct {
	*registrytest.Server
	old, new, app registrytest.Object
	run, name     string // references of run image and app
}

func newFixture(t *testing.T, opts ...registrytest.BuildOption) fixture {
	t.Helper()
	w := fixture{Server: registrytest.New(t)}
	w.run, w.name = w.Host+"/base/run:22", w.Host+"/shop/web:1.4"
	w.old, w.new = baseImage(100, oldLayers, opts...), baseImage(101, newLayers, opts...)
	w.app = appImage(102, w.old, oldLayers, w.run, opts...)
	w.Push(t, "base/run", w.new, "22")
	w.Push(t, "shop/web", w.app, "1.4")
	return w
}

// On one registry, layers are mounted. Only a configuration and a manifest are
// uploaded.
func TestRebaseOnOneRegistry(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	res, names := rebaseTo(t, "", Options{}, w.name)
	if names[0].State != NameSaved || names[0].Was != ref(t, "x@"+w.app.Digest).Digest {
		t.Fatalf("got %+v, want it saved", names[0])
	}
	checkRequests(t, w.Server, map[registrytest.Kind]int{
		registrytest.ManifestGet: 2, registrytest.BlobGet: 2, // manifest and configuration of app and base
		registrytest.Mount:        2, // the app's repository holds the shared layer already
		registrytest.UploadPost:   1,
		registrytest.ManifestHead: 2, // the tag, before it is written and after
		registrytest.ManifestPut:  1,
	})
	if missing := w.Complete(t, "shop/web", "1.4"); missing != nil {
		t.Errorf("got missing %v, want nothing missing", missing)
	}
	if got := w.Tags(t, "shop/web")["1.4"]; got != res.Digest.String() {
		t.Errorf("tag: got %s, want %s", got, res.Digest)
	}
	v := decode(t, res.Images[0])
	if diff := cmp.Diff(slices.Concat(w.new.DiffIDs(), w.app.DiffIDs()[2:]), v.Config.RootFS.DiffIDs); diff != "" {
		t.Errorf("diff IDs (-want +got):\n%s", diff)
	}
	var layers []string
	for _, l := range v.Manifest.Layers {
		layers = append(layers, l.Digest)
	}
	var want []string
	for _, b := range slices.Concat(w.new.Blobs[1:], w.app.Blobs[3:]) {
		want = append(want, b.Digest)
	}
	if diff := cmp.Diff(want, layers); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	if got, want := res.Onto, (Onto{w.run, ref(t, "x@"+w.new.Digest).Digest, w.new.DiffIDs()[2]}); got != want {
		t.Errorf("onto: got %+v, want %+v", got, want)
	}
	if got, want := res.From, (From{"registry.example/run@sha256:old", w.old.DiffIDs()[1]}); got != want {
		t.Errorf("from: got %+v, want %+v", got, want)
	}
}

// The label keeps unknown members, their order and their text. Only the base changes.
func TestMetadataIsEdited(t *testing.T) {
	t.Parallel()
	w := newFixture(t, registrytest.Label("keep", "me"), registrytest.Label("io.buildpacks.stack.id", "jammy"))
	res, _ := rebaseTo(t, "", Options{}, w.name)
	v := decode(t, res.Images[0])
	want := lifecycle(w.new.DiffIDs()[2], w.run)
	want = strings.Replace(want, "registry.example/run@sha256:old", w.Host+"/base/run@"+w.new.Digest, 1)
	if diff := cmp.Diff(want, v.Config.Config.Labels[lifecycleLabel]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v.Config.Config.Labels["keep"] != "me" || v.Config.Config.Labels["seed"] != "102" {
		t.Errorf("got labels %v, want keep=me and seed=102", v.Config.Config.Labels)
	}
	if diff := cmp.Diff([]string{"CNB_PLATFORM_API=0.12"}, v.Config.Config.Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// Old metadata has the base in stack.runImage. It is read from there, and updated.
func TestStackMetadata(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	stack := func(top, reference string) string {
		return `"stack":{"runImage":{"image":"` + w.run + `","topLayer":"` + top + `","reference":"` + reference + `"}}`
	}
	label := `{"app":[],` + stack(w.old.DiffIDs()[1], "old") + `}`
	w.Push(t, "shop/web", appImage(7, w.old, oldLayers, "", registrytest.Label(lifecycleLabel, label)), "1.4")
	res, _ := rebaseTo(t, "", Options{}, w.name)
	top, reference := w.new.DiffIDs()[2], w.Host+"/base/run@"+w.new.Digest
	want := `{"app":[],` + stack(top, reference) + `,"runImage":{"topLayer":"` + top + `","reference":"` + reference + `"}}`
	if diff := cmp.Diff(want, decode(t, res.Images[0]).Config.Config.Labels[lifecycleLabel]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := res.From, (From{"old", w.old.DiffIDs()[1]}); got != want {
		t.Errorf("from: got %+v, want %+v", got, want)
	}
	if again, _ := rebaseTo(t, "", Options{}, w.name); !again.UpToDate {
		t.Error("second rebase: got out of date, want up to date")
	}
}

// Labels that describe the base are those of the new base. Labels that the new base
// lacks are removed.
func TestBaseLabels(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	base := baseImage(101, newLayers, registrytest.Label("io.buildpacks.base.homepage", "new"), registrytest.Label("other", "base's"))
	w.Push(t, "base/run", base, "22")
	app := appImage(7, w.old, oldLayers, w.run,
		registrytest.Label("io.buildpacks.stack.id", "old"), registrytest.Label("io.buildpacks.base.homepage", "old"), registrytest.Label("io.buildpacks.base.id", "old"))
	w.Push(t, "shop/web", app, "1.4")
	res, _ := rebaseTo(t, "", Options{}, w.name)
	got := decode(t, res.Images[0]).Config.Config.Labels
	delete(got, lifecycleLabel)
	if diff := cmp.Diff(map[string]string{"seed": "7", "io.buildpacks.base.homepage": "new"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Equal inputs give equal bytes. A second rebase reads four documents and writes
// nothing.
func TestRebaseAgain(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	dry, err := NewReader(newClient(t)).Rebase(t.Context(), ref(t, w.name), Options{})
	if err != nil || len(w.Writes()) > 0 {
		t.Fatalf("dry run: got error %v and writes %v, want none", err, w.Writes())
	}
	res, _ := rebaseTo(t, "", Options{}, w.name)
	if dry.Digest != res.Digest || res.UpToDate {
		t.Errorf("real run: got %s, up to date %t, want %s of the dry run and false", res.Digest, res.UpToDate, dry.Digest)
	}
	w.Reset()
	again, names := rebaseTo(t, "", Options{}, w.name)
	if !again.UpToDate || again.Digest != res.Digest || names[0].State != NameUpToDate {
		t.Errorf("second run: got up to date %t, %s, %+v, want true, %s and up to date", again.UpToDate, again.Digest, names, res.Digest)
	}
	checkRequests(t, w.Server, map[registrytest.Kind]int{registrytest.ManifestGet: 2, registrytest.BlobGet: 2})
	// A base with other labels makes the app out of date. Its history does not grow.
	base := baseImage(101, newLayers, registrytest.Label("io.buildpacks.base.id", "x"))
	w.Push(t, "base/run", base, "22")
	third, _ := rebaseTo(t, "", Options{}, w.name)
	if v := decode(t, third.Images[0]); third.UpToDate || len(v.Config.History) != 5 {
		t.Errorf("third run: got up to date %t and history %v, want false and 5 entries", third.UpToDate, v.Config.History)
	}
}

// The previous image is only read. The result is saved under the other names.
func TestPreviousImage(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	name, second := w.Host+"/shop/rebased:1", w.Host+"/shop/rebased:latest"
	res, names := rebaseTo(t, w.name, Options{}, name, second)
	for _, n := range names {
		if n.State != NameSaved || n.Was != (v1.Hash{}) {
			t.Errorf("got %+v, want it saved as a new tag", n)
		}
	}
	if missing := w.Complete(t, "shop/rebased", "latest"); missing != nil {
		t.Errorf("got missing %v, want nothing missing", missing)
	}
	if got := w.Tags(t, "shop/web")["1.4"]; got != w.app.Digest {
		t.Errorf("tag of the previous image: got %s, want %s", got, w.app.Digest)
	}
	if got := w.Count(registrytest.Mount); got != 5 { // all layers
		t.Errorf("mounts: got %d, want 5", got)
	}
	w.Reset()
	if _, names = rebaseTo(t, w.name, Options{}, name, second); names[0].State != NameUpToDate || names[1].State != NameUpToDate {
		t.Errorf("second run: got %+v, want both up to date", names)
	}
	if writes := w.Writes(); len(writes) > 0 {
		t.Errorf("second run: got writes %v, want none", writes)
	}
	// An app that is up to date is copied unchanged to new names, by tag and by digest.
	res, names = rebaseTo(t, name, Options{}, w.Host+"/shop/third:1", w.Host+"/shop/fourth@"+res.Digest.String())
	if !res.UpToDate || names[0].State != NameSaved || names[1].State != NameSaved {
		t.Errorf("copies: got %+v, want both saved", names)
	}
	if got := w.Tags(t, "shop/third")["1"]; got != res.Digest.String() {
		t.Errorf("tag of the copy: got %s, want %s", got, res.Digest)
	}
	if missing := w.Complete(t, "shop/fourth", res.Digest.String()); missing != nil {
		t.Errorf("got missing %v, want nothing missing", missing)
	}
}

// Between registries, each layer is copied once.
func TestRebaseFromAnotherRegistry(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	far := registrytest.New(t)
	far.Push(t, "run", w.new, "22")
	res, names := rebaseTo(t, "", Options{RunImage: far.Host + "/run:22", Accept: AcceptAny}, w.name)
	if names[0].State != NameSaved {
		t.Fatalf("got %+v, want it saved", names[0])
	}
	if missing := w.Complete(t, "shop/web", "1.4"); missing != nil {
		t.Errorf("got missing %v, want nothing missing", missing)
	}
	checkRequests(t, far, map[registrytest.Kind]int{registrytest.ManifestGet: 1, registrytest.BlobGet: 1 + 2})
	if got := res.Traffic(ref(t, w.name).Repository); got != (Traffic{There: 3, Copied: 2}) {
		t.Errorf("traffic: got %+v, want 3 there and 2 copied", got)
	}
	if got := w.Count(registrytest.UploadPost); got != 3 {
		t.Errorf("uploads: got %d, want 3", got)
	}
}

// If a registry refuses mounts, the layers are copied. No upload session stays open,
// and the traffic counts the copies.
func TestRefusedMounts(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 202, 403, 404, 500} {
		w := newFixture(t)
		want := Traffic{There: 3, Mounted: 2}
		if status != 0 {
			w.Fault(registrytest.RefuseMounts(status), registrytest.Is(registrytest.Mount))
			want = Traffic{There: 3, Copied: 2}
		}
		c := newClient(t)
		res, err := NewReader(c).Rebase(t.Context(), ref(t, w.name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		names := Survey(t.Context(), c, res, []Reference{ref(t, w.name)})
		if got, notes := Push(t.Context(), c, res, names); got != want {
			t.Errorf("status %d: got %+v, want %+v, %q", status, got, want, notes)
		}
		if missing := w.Complete(t, "shop/web", "1.4"); missing != nil || names[0].State != NameSaved || w.OpenUploads() > 0 {
			t.Errorf("status %d: got %+v, missing %v and %d open sessions, want it saved", status, names, missing, w.OpenUploads())
		}
	}
}

// If writing the layers fails, Push returns the expected traffic, not partial counts.
func TestTrafficOfAFailure(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.Mount, registrytest.UploadPost))
	c := newClient(t)
	res, err := NewReader(c).Rebase(t.Context(), ref(t, w.name), Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := Survey(t.Context(), c, res, []Reference{ref(t, w.name)})
	if got, _ := Push(t.Context(), c, res, names); got != res.Traffic(names[0].Repository) || names[0].State != NameFailed {
		t.Errorf("got traffic %+v and %+v, want %+v and failed", got, names, res.Traffic(names[0].Repository))
	}
}

// A tag that moved to a newer build during the rebase is not overwritten.
func TestMovedTag(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	newer := registrytest.Image(55, 1)
	w.Fault(w.MoveTag(t, "shop/web", "1.4", newer), registrytest.Is(registrytest.Mount), registrytest.First(1))
	_, names := rebaseTo(t, "", Options{}, w.name)
	if names[0].State != NameFailed {
		t.Fatalf("got %+v, want it failed", names[0])
	}
	contains(t, names[0].Err.Error(), "the tag has moved since it was read", newer.Digest)
	if got := w.Tags(t, "shop/web")["1.4"]; got != newer.Digest {
		t.Errorf("tag: got %s, want %s", got, newer.Digest)
	}
}

// If the response to a PUT has no digest, the tag is read until it is visible.
func TestDelayedVisibility(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.Fault(registrytest.WrongDigest(""), registrytest.Is(registrytest.ManifestPut))
	w.Fault(registrytest.DelayVisibility(2))
	_, names := rebaseTo(t, "", Options{}, w.name)
	if names[0].State != NameSaved {
		t.Fatalf("got %+v, want it saved", names[0])
	}
}

// A name that cannot be read or saved does not stop the others.
func TestSomeNamesFail(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.ManifestPut), registrytest.Ref("closed"))
	w.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.ManifestHead), registrytest.Ref("dark"))
	res, names := rebaseTo(t, "", Options{}, w.name, w.Host+"/shop/web:closed", w.Host+"/shop/web:dark", w.Host+"/shop/web:open")
	var states []NameState
	for _, n := range names {
		states = append(states, n.State)
	}
	if diff := cmp.Diff([]NameState{NameSaved, NameFailed, NameFailed, NameSaved}, states); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	report, err := res.Report(names)
	want := "[image]\n  tags = [\"" + w.name + "\", \"" + w.Host + "/shop/web:open\"]\n  digest = \"" + res.Digest.String() + "\"\n  manifest-size = "
	if err != nil || !strings.HasPrefix(string(report), want) {
		t.Errorf("%v: got %s, want %s…", err, report, want)
	}
}

// All media types of a result are of the app's family.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		app, base      []registrytest.BuildOption
		manifest, conf types.MediaType
		layer          types.MediaType
	}{
		"docker app, oci base": {
			[]registrytest.BuildOption{registrytest.Docker()}, nil,
			types.DockerManifestSchema2, types.DockerConfigJSON, counterparts[0][1],
		},
		"oci app, docker base": {
			nil, []registrytest.BuildOption{registrytest.Docker()},
			types.OCIManifestSchema1, types.OCIConfigJSON, counterparts[0][0],
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			w.Push(t, "base/run", baseImage(101, newLayers, tc.base...), "22")
			w.Push(t, "shop/web", appImage(102, w.old, oldLayers, w.run, append(tc.app,
				registrytest.Annotate("org.opencontainers.image.base.name", "old"), registrytest.Annotate("kept", "yes"))...), "1.4")
			res, names := rebaseTo(t, "", Options{}, w.name)
			if names[0].State != NameSaved {
				t.Fatalf("got %+v, want it saved", names[0])
			}
			v := decode(t, res.Images[0])
			if v.Manifest.MediaType != tc.manifest || v.Manifest.Config.MediaType != tc.conf {
				t.Errorf("media types: got %s, %s, want %s, %s", v.Manifest.MediaType, v.Manifest.Config.MediaType, tc.manifest, tc.conf)
			}
			for _, l := range v.Manifest.Layers {
				if l.MediaType != tc.layer {
					t.Errorf("media type of a layer: got %s, want %s", l.MediaType, tc.layer)
				}
			}
			if diff := cmp.Diff(map[string]string{"org.opencontainers.image.base.name": w.run, "kept": "yes"}, v.Manifest.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}
