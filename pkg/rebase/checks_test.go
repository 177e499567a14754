package rebase

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// The rules for a new base depend on the platform API that built the app.
func TestChecks(t *testing.T) {
	t.Parallel()
	labels := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	stacked := func(mixins string) map[string]string { return labels(stackLabel, "jammy", mixinsLabel, mixins) }
	amd, arm := platform{OS: "linux", Architecture: "amd64"}, platform{OS: "linux", Architecture: "arm64"}
	v7, v8 := arm, arm
	v7.Variant, v8.Variant = "v7", "v8"
	for name, tc := range map[string]struct {
		api         string
		app, base   map[string]string
		on, onto    platform
		overridable string
		err         string
	}{
		"rebasable is false":                {api: "0.12", app: labels(rebasableLabel, "false"), overridable: "app image is not marked as rebasable"},
		"rebasable is true":                 {api: "0.12", app: labels(rebasableLabel, "true")},
		"rebasable is empty":                {api: "0.13", app: labels(rebasableLabel, "")},
		"an old platform ignores rebasable": {api: "0.11", app: labels(rebasableLabel, "false", stackLabel, "s"), base: labels(stackLabel, "s")},
		"other architecture":                {api: "1.0", on: amd, onto: arm, overridable: "unable to satisfy target os/arch constraints: the new base image is linux/arm64, the app linux/amd64"},
		"other architecture, old platform":  {on: amd, onto: arm, app: stacked(""), base: stacked(""), err: "the new base image is for linux/arm64, the app for linux/amd64"},
		"other variant":                     {api: "0.12", on: v7, onto: v8, overridable: "linux/arm64/v8, the app linux/arm64/v7"},
		"a variant on one side":             {api: "0.12", on: v7, onto: arm},
		"a variant on the other side":       {api: "0.12", on: arm, onto: v8},
		"same distribution":                 {api: "0.12", app: labels(distroName, "ubuntu", distroVersion, "22.04"), base: labels(distroName, "ubuntu", distroVersion, "22.04")},
		"other distribution":                {api: "0.12", app: labels(distroName, "ubuntu", distroVersion, "22.04"), base: labels(distroName, "debian", distroVersion, "12"), overridable: "on debian 12, the app / on ubuntu 22.04"},
		"other release":                     {api: "0.12", app: labels(distroName, "ubuntu", distroVersion, "22.04"), base: labels(distroName, "ubuntu", distroVersion, "24.04"), overridable: "unable to satisfy"},
		"a base without a distribution":     {api: "0.12", app: labels(distroName, "ubuntu"), overridable: "unable to satisfy"},
		"an app without a distribution":     {api: "0.12", base: labels(distroName, "ubuntu")},
		"targets replace stacks":            {api: "0.12", app: stacked(`["x"]`), base: labels(stackLabel, "noble")},
		"no stack on the app":               {base: stacked(""), err: "stack not defined on app image"},
		"no stack on the base":              {app: stacked(""), err: "stack not defined on new base image"},
		"other stack":                       {api: "0.11", app: stacked(""), base: labels(stackLabel, "noble"), err: `incompatible stack: "noble" of the new base image is not compatible with "jammy"`},
		"all mixins":                        {app: stacked(`["mixin-1","run:mixin-2"]`), base: stacked(`["mixin-1","mixin-2","mixin-3"]`)},
		"all mixins, for a stage":           {app: stacked(`["mixin-1","run:mixin-2"]`), base: stacked(`["run:mixin-1","run:mixin-2"]`)},
		"mixins are missing":                {app: stacked(`["c","run:b","a"]`), base: stacked(`["a"]`), err: "missing required mixin(s): b, c"},
		"the app's mixins are not JSON":     {app: stacked(`{`), base: stacked(`["a"]`), err: "reading label io.buildpacks.stack.mixins of the app"},
		"the base's mixins are not strings": {app: stacked(`["a"]`), base: stacked(`[1]`), err: "reading label io.buildpacks.stack.mixins of the new base image"},
		"an invalid version":                {api: "twelve", err: `bad version "twelve"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overridable, err := check(&inputImage{labels: tc.app, platform: tc.on, platformAPI: tc.api}, &inputImage{labels: tc.base, platform: tc.onto})
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error: got %v, want %q", err, tc.err)
			}
			if text := strings.Join(overridable, "; "); (text != "") != (tc.overridable != "") || !strings.Contains(text, tc.overridable) {
				t.Errorf("overridable problems: got %q, want %q", text, tc.overridable)
			}
		})
	}
}

// The metadata must name the new base, unless Options accept more.
func TestAcceptBase(t *testing.T) {
	t.Parallel()
	const label = `{"runImage":{"image":"reg.example/run:1","mirrors":["mirror.example/run:1","mirror.example/other"]},"stack":{"runImage":{"image":"old.example/run"}}}`
	const listed, same, anything = AcceptListed, AcceptSameRepository, AcceptAny
	for name, tc := range map[string]struct {
		to     string
		accept Accept
		force  bool
		also   []string
		names  *Names // new names in the metadata
		err    bool
	}{
		"the image":                           {to: "reg.example/run:1"},
		"the image at a digest":               {to: "reg.example/run:1@sha256:" + strings.Repeat("a", 64)},
		"a mirror":                            {to: "mirror.example/run:1"},
		"no tag means latest":                 {to: "mirror.example/other:latest"},
		"a digest alone means latest too":     {to: "mirror.example/other@sha256:" + strings.Repeat("a", 64)},
		"the image in stack.runImage":         {to: "old.example/run"},
		"a local mirror":                      {to: "local.example/run", also: []string{"local.example/run"}},
		"another image":                       {to: "reg.example/else", err: true},
		"another tag":                         {to: "mirror.example/run:2", err: true},
		"another tag, accepted":               {to: "mirror.example/run:2", accept: same, names: &Names{"reg.example/run:2", []string{"mirror.example/run:2", "mirror.example/other"}}},
		"another digest, accepted":            {to: "reg.example/run@sha256:" + strings.Repeat("a", 64), accept: same, names: &Names{"reg.example/run:1", []string{"mirror.example/run:1", "mirror.example/other"}}},
		"another repository, tags accepted":   {to: "reg.example/else:1", accept: same, err: true},
		"any image accepted":                  {to: "reg.example/else", accept: anything, names: &Names{Image: "reg.example/else"}},
		"forced":                              {to: "reg.example/else:2", accept: listed, force: true, names: &Names{Image: "reg.example/else:2"}},
		"forced, and listed: nothing changes": {to: "mirror.example/run:1", accept: listed, force: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := parseMetadata(label)
			if err != nil {
				t.Fatal(err)
			}
			names, _, err := acceptBase(m, newBase{Reference: ref(t, tc.to), given: tc.to, also: tc.also}, Options{Accept: tc.accept, Force: tc.force})
			if (err != nil) != tc.err {
				t.Errorf("got error %v, want an error: %t", err, tc.err)
			}
			if err != nil {
				contains(t, err.Error(), "not found in existing run image metadata", tc.to)
			}
			if diff := cmp.Diff(tc.names, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// All spellings of a Docker Hub name are equal.
func TestAcceptBaseDockerHub(t *testing.T) {
	t.Parallel()
	m, err := parseMetadata(`{"runImage":{"image":"index.docker.io/paketo/run"}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"paketo/run", "docker.io/paketo/run:latest", "registry-1.docker.io/paketo/run"} {
		if _, _, err := acceptBase(m, newBase{Reference: ref(t, s), given: s}, Options{}); err != nil {
			t.Errorf("%s: got error %v, want none", s, err)
		}
	}
}

// With Force, the metadata names only the new base, in stack.runImage as well.
func TestForceReplacesTheNames(t *testing.T) {
	t.Parallel()
	w := newFixture(t, registrytest.Label(rebasableLabel, "false"))
	w.Push(t, "else", w.new, "1")
	to := w.Host + "/else:1"
	res, _ := rebaseTo(t, "", Options{RunImage: to, Force: true}, w.name)
	contains(t, strings.Join(res.Notes, "\n"), "not found in existing run image metadata", "app image is not marked as rebasable")
	m, err := parseMetadata(decode(t, res.Images[0]).Config.Config.Labels[lifecycleLabel])
	if err != nil {
		t.Fatal(err)
	}
	if m.names.Image != to || len(m.names.Mirrors) != 0 || !slices.Equal(m.listed, []string{to}) {
		t.Errorf("got names %v and listed %v, want only %s", m.names, m.listed, to)
	}
}

// An app that cannot be rebased is refused before the first write, with the reason.
func TestRefusals(t *testing.T) {
	t.Parallel()
	old := baseImage(100, oldLayers)
	label := func(text string) registrytest.BuildOption { return registrytest.Label(lifecycleLabel, text) }
	for name, tc := range map[string]struct {
		app  func(run string) registrytest.Object
		o    Options
		want []string
	}{
		"no label": {func(string) registrytest.Object { return registrytest.Image(1, 2) }, Options{}, []string{"could not find label io.buildpacks.lifecycle.metadata"}},
		"a label that is not JSON": {func(run string) registrytest.Object { return appImage(1, old, oldLayers, run, label("{")) }, Options{},
			[]string{"reading label io.buildpacks.lifecycle.metadata"}},
		"no run image": {func(run string) registrytest.Object {
			return appImage(1, old, oldLayers, run, label(`{"runImage":{"topLayer":"x"}}`))
		}, Options{},
			[]string{"run image must be specified"}},
		"no top layer": {func(run string) registrytest.Object {
			return appImage(1, old, oldLayers, run, label(`{"runImage":{"image":"`+run+`"}}`))
		}, Options{}, []string{"could not find base layer in image"}},
		"an unknown top layer": {func(run string) registrytest.Object {
			return appImage(1, old, oldLayers, run, label(lifecycle("sha256:other", run)))
		}, Options{}, []string{"could not find base layer in image", "sha256:other"}},
		"not rebasable": {func(run string) registrytest.Object {
			return appImage(1, old, oldLayers, run, registrytest.Label(rebasableLabel, "false"))
		}, Options{}, []string{"not marked as rebasable", "use --force to rebase anyway"}},
		"another architecture": {func(run string) registrytest.Object {
			return appImage(1, old, oldLayers, run, registrytest.Platform("linux/arm64"))
		}, Options{}, []string{"unable to satisfy target os/arch constraints"}},
		"an invalid run image name": {func(run string) registrytest.Object { return appImage(1, old, oldLayers, run) }, Options{RunImage: "a@b"}, []string{`bad image name "a@b"`}},
		"an artifact": {func(string) registrytest.Object { return registrytest.Artifact(1, "application/vnd.example") }, Options{},
			[]string{"not an image: its configuration has media type"}},
		"an empty index": {func(string) registrytest.Object { return registrytest.Index(nil) }, Options{}, []string{"the index has no image"}},
		"an index in an index": {func(string) registrytest.Object {
			return registrytest.Index([]registrytest.Object{registrytest.MultiArch(1, 1, 1)})
		}, Options{}, []string{"an index within an index is not supported"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			run := s.Host + "/base/run:22"
			s.Push(t, "base/run", baseImage(101, newLayers), "22")
			s.Push(t, "shop/web", tc.app(run), "1.4")
			contains(t, refused(t, s, s.Host+"/shop/web:1.4", tc.o), append(tc.want, s.Host+"/shop/web:1.4")...)
		})
	}
}

// The Docker family has no media type for zstd layers.
func TestLayersWithoutEquivalent(t *testing.T) {
	t.Parallel()
	if got, err := docker.layer("application/vnd.oci.image.layer.v1.tar+zstd"); err == nil {
		t.Errorf("zstd layer in a Docker image: got %s, want an error", got)
	}
	if got, err := oci.layer("application/vnd.docker.unknown"); err == nil {
		t.Errorf("unknown Docker layer in an OCI image: got %s, want an error", got)
	}
	for _, same := range []types.MediaType{types.OCILayerZStd, "text/plain"} {
		if got, err := oci.layer(same); got != same || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, same)
		}
	}
}

// The error of a failed read names the side and the reference.
func TestFailedReads(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Repo("base/run"))
	contains(t, refused(t, w.Server, w.name, Options{}), "failed to find accessible run image", w.run+": 403 DENIED: no")
	contains(t, refused(t, w.Server, w.name, Options{RunImage: w.run}), "reading run image "+w.run+": 403 DENIED: no")
	contains(t, refused(t, w.Server, w.Host+"/shop/web:absent", Options{}), "reading app "+w.Host+"/shop/web:absent: ", "404")
	w.ClearFaults()
	w.Fault(registrytest.Corrupt(3), registrytest.Is(registrytest.BlobGet))
	contains(t, refused(t, w.Server, w.name, Options{}), "reading the configuration")
}
