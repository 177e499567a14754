package promote_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/promote"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// mirrored writes a plain manifest whose source has mirrors.
func mirrored(images, src, dst string, mirrors ...string) string {
	return strings.Replace(plain(images, src, dst), "  src: true\n", "  src: true\n  mirrors: ["+strings.Join(mirrors, ", ")+"]\n", 1)
}

// The first of same-host mirrors, source and other mirrors that holds a digest is
// read, and the report names it.
func TestMirrorThatIsRead(t *testing.T) {
	t.Parallel()
	const down = "down"
	closed := func(s *registrytest.Server) {
		s.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Is(registrytest.ManifestGet))
	}
	type place struct {
		holds bool
		fault string // "", closed or down
	}
	for name, tc := range map[string]struct {
		near, src, far place // a mirror on the destination's host, the source, a mirror elsewhere
		want           string
		status         plan.Status
		warned         []string
	}{
		"all hold it: the one on the host":           {place{true, ""}, place{true, ""}, place{true, ""}, "near", plan.Done, nil},
		"the one on the host lacks it":               {place{false, ""}, place{true, ""}, place{true, ""}, "src", plan.Done, nil},
		"only another mirror holds it":               {place{false, ""}, place{false, ""}, place{true, ""}, "far", plan.Done, nil},
		"a mirror is closed":                         {place{true, "closed"}, place{true, ""}, place{true, ""}, "src", plan.Done, []string{"near"}},
		"the source is closed":                       {place{false, ""}, place{true, "closed"}, place{true, ""}, "far", plan.Done, []string{"src"}},
		"the source is down":                         {place{false, ""}, place{true, down}, place{true, ""}, "far", plan.Done, []string{"src"}},
		"no repository has it, and the source is":    {place{false, ""}, place{true, "closed"}, place{false, ""}, "", plan.Failed, nil},
		"what is behind the one read is down":        {place{true, ""}, place{true, down}, place{true, down}, "near", plan.Done, nil},
		"no repository has it":                       {place{false, ""}, place{false, ""}, place{false, ""}, "", plan.Refused, nil},
		"no repository has it, and a mirror is down": {place{false, ""}, place{false, ""}, place{true, down}, "", plan.Failed, []string{"far"}},
		"no repository has it, and one is closed":    {place{true, "closed"}, place{false, ""}, place{false, ""}, "", plan.Failed, []string{"near"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst, src, far := registrytest.New(t), registrytest.New(t), registrytest.New(t)
			img := registrytest.MultiArch(1, 2, 2)
			repos := map[string]string{"near": dst.Host + "/mirror/x", "src": src.Host + "/staging/x", "far": far.Host + "/copies/x"}
			for name, p := range map[string]place{"near": tc.near, "src": tc.src, "far": tc.far} {
				s := map[string]*registrytest.Server{"near": dst, "src": src, "far": far}[name]
				if p.holds {
					_, repo, _ := strings.Cut(repos[name], "/")
					s.Push(t, repo, img, "x")
				}
				switch p.fault {
				case "closed":
					closed(s)
				case down:
					s.Close()
				}
			}
			p := rig{manifest: mirrored(want("x", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod", far.Host+"/copies", dst.Host+"/mirror")}.run(t)
			if len(p.Items) != 1 || p.Items[0].Status != tc.status {
				t.Fatalf("got %+v, want one item, %s", p.Items, tc.status)
			}
			if tc.want != "" {
				if got, want := p.Items[0].SourceRef(), repos[tc.want]+"@"+img.Digest; got != want {
					t.Errorf("read %s, want %s", got, want)
				}
				if missing := dst.Complete(t, "prod/x", "1"); missing != nil {
					t.Errorf("got missing content %v, want none", missing)
				}
			} else if writes := dst.Writes(); len(writes) > 0 {
				t.Errorf("got writes %v, want none", writes)
			}
			if got, want := dst.Count(registrytest.Mount), map[bool]int{true: len(img.BlobDigests())}[tc.want == "near"]; got != want {
				t.Errorf("%d mounts, want %d", got, want)
			}
			var warned []string
			for _, w := range p.Warnings {
				for name, repo := range repos {
					if strings.HasPrefix(w, "passing over "+map[bool]string{true: "source", false: "mirror"}[name == "src"]+" "+repo+": ") {
						warned = append(warned, name)
					}
				}
			}
			if !slices.Equal(warned, tc.warned) || len(p.Warnings) != len(warned) {
				t.Errorf("warnings: %q, want of %v", p.Warnings, tc.warned)
			}
		})
	}
}

// A mirror that is down is asked for each digest, reported once, and stops nothing.
func TestMirrorDownForAll(t *testing.T) {
	t.Parallel()
	dst, src := registrytest.New(t), registrytest.New(t)
	a, b := registrytest.Image(1, 1), registrytest.Image(2, 1)
	for _, o := range []registrytest.Object{a, b} {
		src.Push(t, "staging/x", o)
	}
	dst.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Repo("mirror/x"))
	p := rig{manifest: mirrored(want("x", a.Digest, "1", b.Digest, "2"), src.Host+"/staging", dst.Host+"/prod", dst.Host+"/mirror")}.run(t)
	for _, it := range p.Items {
		if it.Status != plan.Done {
			t.Errorf("got %+v, want done", it)
		}
	}
	if len(p.Items) != 2 || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "403 DENIED") {
		t.Errorf("got %d items, warnings %q, want 2 and one of 403 DENIED", len(p.Items), p.Warnings)
	}
}

// What a mirror lacks of an image that it holds is read where else it is: a child is
// missing only if no candidate has it.
func TestMirrorThatIsNotWhole(t *testing.T) {
	t.Parallel()
	img := registrytest.MultiArch(1, 2, 2)
	child := img.Children[1]
	for name, tc := range map[string]struct {
		spoil  func(near *registrytest.Server)
		warned string
	}{
		"a child is lacking": {func(near *registrytest.Server) { near.DeleteManifest(t, "mirror/x", child.Digest) }, ""},
		"a child is closed": {func(near *registrytest.Server) {
			near.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Repo("mirror/x"), registrytest.Ref(child.Digest))
		}, "403 DENIED"},
		"a blob is lacking": {func(near *registrytest.Server) {
			near.DeleteBlob(t, "mirror/x", child.BlobDigests()[0])
		}, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst, src := registrytest.New(t), registrytest.New(t)
			src.Push(t, "staging/x", img, "x")
			dst.Push(t, "mirror/x", img, "x")
			tc.spoil(dst)
			p := rig{manifest: mirrored(want("x", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod", dst.Host+"/mirror")}.run(t)
			if len(p.Items) != 1 || p.Items[0].Status != plan.Done || p.Items[0].From.RegistryStr() != dst.Host {
				t.Fatalf("got %+v, warnings %q, want one item done from %s", p.Items, p.Warnings, dst.Host)
			}
			if missing := dst.Complete(t, "prod/x", "1"); missing != nil {
				t.Errorf("got missing content %v, want none", missing)
			}
			if len(p.Warnings) != map[bool]int{true: 1}[tc.warned != ""] || len(p.Warnings) == 1 && !strings.Contains(p.Warnings[0], tc.warned) {
				t.Errorf("warnings %q, want one with %q", p.Warnings, tc.warned)
			}
		})
	}
}

// Rules judge the children that are going to be copied, wherever they are read.
func TestMirrorReadForRules(t *testing.T) {
	t.Parallel()
	near, src := registrytest.New(t), registrytest.New(t)
	img := registrytest.MultiArch(1, 2, 2)
	src.Push(t, "staging/x", img, "x")
	near.Push(t, "mirror/x", img, "x")
	near.DeleteManifest(t, "mirror/x", img.Children[1].Digest)
	client, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sources := promote.NewSources(client, func(w string) { t.Errorf("warned: %s", w) })
	defer sources.Close()
	at := func(host, path string) name.Repository { return image.NewRepository(host, path) }
	entry := &plan.Entry{Digest: image.Hash(img.Digest), Sources: []*plan.Source{
		{Repository: at(src.Host, "staging/x"), Mirrors: []name.Repository{at(near.Host, "mirror/x")}},
	}}
	found := sources.Find(t.Context(), entry, at(near.Host, "prod/x"))
	if found.From != at(near.Host, "mirror/x") {
		t.Fatalf("got %+v, want it found in the mirror %s", found, at(near.Host, "mirror/x"))
	}
	for _, c := range img.Children {
		if content, err := sources.Read(t.Context(), found.From, c.Digest); err != nil || content == nil {
			t.Errorf("%s: got %v, %v, want its content", c.Digest, content, err)
		}
	}
}

// A child that one candidate lacks and another cannot be asked for is not missing.
func TestMirrorChildUnknown(t *testing.T) {
	t.Parallel()
	dst, src := registrytest.New(t), registrytest.New(t)
	img := registrytest.MultiArch(1, 2, 2)
	dst.Push(t, "mirror/x", img, "x")
	dst.DeleteManifest(t, "mirror/x", img.Children[1].Digest)
	src.Fault(registrytest.Refuse(403, "DENIED", "no"))
	p := rig{manifest: mirrored(want("x", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod", dst.Host+"/mirror")}.run(t)
	if len(p.Items) != 1 || p.Items[0].Status != plan.Failed || !strings.Contains(p.Items[0].Error, "403 DENIED") {
		t.Errorf("got %+v, warnings %q, want one item failed with 403 DENIED", p.Items, p.Warnings)
	}
	if writes := dst.Writes(); len(writes) > 0 {
		t.Errorf("got writes %v, want none", writes)
	}
}
