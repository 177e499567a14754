package promote_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// impatient are short limits.
var impatient = registry.Limits{
	Head: 300 * time.Millisecond, Answer: time.Second, Window: 200 * time.Millisecond, BlobWindow: 200 * time.Millisecond,
	Refusal: 50 * time.Millisecond, Patience: 500 * time.Millisecond,
}

// A repository whose answers come a byte at a time counts as unreadable, for each kind
// of answer, and the other repositories are promoted.
func TestSlowRegistry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		atSource bool
		match    registrytest.Match
		options  []registrytest.Option // of the destination
	}{
		"a manifest of the source":   {true, registrytest.Is(registrytest.ManifestGet), nil},
		"a blob of the source":       {true, registrytest.Is(registrytest.BlobGet), nil},
		"the destination's tag list": {false, registrytest.Is(registrytest.Tags), nil},
		"a refusal of a manifest":    {false, registrytest.Is(registrytest.ManifestPut), nil},
		"an answer to an upload":     {false, registrytest.Is(registrytest.UploadPut), []registrytest.Option{registrytest.NoSinglePost()}},
		"the opening of an upload":   {false, registrytest.Is(registrytest.UploadPost), []registrytest.Option{registrytest.NoSinglePost()}},
		"an upload in one request":   {false, registrytest.Is(registrytest.UploadPost), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t, tc.options...)
			good, slow := registrytest.Image(1, 1), registrytest.Image(2, 1)
			src.Push(t, "staging/good", good, "build")
			src.Push(t, "staging/slow", slow, "build")
			at, repo := dst, "prod/slow"
			if tc.atSource {
				at, repo = src, "staging/slow"
			}
			at.Fault(registrytest.Drip(http.StatusOK, registrytest.Header("Content-Type", "application/json"), 5*time.Millisecond), tc.match, registrytest.Repo(repo))
			images := want("good", good.Digest, "1.0") + want("slow", slow.Digest, "1.0")
			limits := impatient // of a body; a slow machine is no reason to give up on the host
			limits.Head, limits.Answer, limits.Patience = time.Minute, time.Minute, time.Minute
			p := rig{manifest: plain(images, src.Host+"/staging", dst.Host+"/prod"), options: registry.Options{Limits: limits}}.run(t)
			if got := dst.Tags(t, "prod/good")["1.0"]; got != good.Digest {
				t.Errorf("the good image's tag: got %q, want %s", got, good.Digest)
			}
			for _, it := range p.Items {
				if strings.HasSuffix(it.Destination.RepositoryStr(), "good") != (it.Status == plan.Done) {
					t.Errorf("%s: got %s %s %q, want only the good one done", it.Destination, it.Action, it.Status, it.Error)
				}
			}
		})
	}
}

// A source that does not answer delays only what is copied from it. The manifests of
// another source are copied in the meantime.
func TestSlowSource(t *testing.T) {
	t.Parallel()
	quick, slow, dst := registrytest.New(t), registrytest.New(t), registrytest.New(t)
	img, index := registrytest.Image(1, 1), registrytest.MultiArch(2, 2, 1)
	quick.Push(t, "staging/quick", img, "build")
	slow.Push(t, "staging/slow", index, "build")
	release := make(chan struct{})
	slow.Fault(registrytest.Hold(release), registrytest.Is(registrytest.ManifestGet), registrytest.Not(registrytest.Ref(index.Digest)))
	done := make(chan *plan.Plan)
	go func() {
		done <- rig{
			manifest: plain(want("quick", img.Digest, "1.0"), quick.Host+"/staging", dst.Host+"/prod"),
			plains:   []string{plain(want("slow", index.Digest, "1.0"), slow.Host+"/staging", dst.Host+"/prod")},
		}.run(t)
	}()
	dst.Await(t, 1, registrytest.ManifestPut) // of the quick source: the slow one has not begun
	close(release)
	got := lines(<-done, map[string]string{img.Digest: "img", index.Digest: "index"})
	if want := "copy done prod/quick img 1.0\ncopy done prod/slow index 1.0\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A host that answers 429 to all requests stops only its own promotions, and after a
// short time.
func TestHostThatRefusesEverything(t *testing.T) {
	t.Parallel()
	src, good, bad := registrytest.New(t), registrytest.New(t), registrytest.New(t)
	var images strings.Builder
	names := map[string]string{}
	for i := range 40 {
		img := registrytest.Image(i+1, 1)
		name := string(rune('a'+i/26)) + string(rune('a'+i%26))
		src.Push(t, "staging/"+name, img, "build")
		images.WriteString(want(name, img.Digest, "1.0"))
		names[name] = img.Digest
	}
	bad.Fault(registrytest.Status(http.StatusTooManyRequests, registrytest.Header("Retry-After", "0"), ""), registrytest.Not(registrytest.Is(registrytest.Ping)))
	p := rig{manifest: plain(images.String(), src.Host+"/staging", good.Host+"/prod", bad.Host+"/prod"), options: registry.Options{Limits: impatient}}.run(t)
	for name, digest := range names {
		if got := good.Tags(t, "prod/"+name)["1.0"]; got != digest {
			t.Errorf("%s at the good host: got %q, want %s", name, got, digest)
		}
	}
	unknown := 0
	for _, it := range p.Items {
		if it.Destination.RegistryStr() == bad.Host && it.Action == plan.Unreadable && strings.Contains(it.Error, "granted nothing") {
			unknown++
		}
	}
	if unknown != 40 {
		t.Errorf("items of the bad host that say that it granted nothing: got %d, want 40", unknown)
	}
}
