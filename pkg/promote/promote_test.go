package promote_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// A first promotion inside one registry mounts every blob and reads each manifest once.
func TestImageOnOneHost(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	img := registrytest.Image(1, 3)
	s.Push(t, "staging/apple", img, "build")
	r := rig{manifest: plain(want("apple", img.Digest, "1.0"), s.Host+"/staging", s.Host+"/prod")}
	p := r.run(t)
	if got, want := lines(p, map[string]string{img.Digest: "img"}), "copy done prod/apple img 1.0\n"; got != want {
		t.Fatalf("got %q, want %q (%+v)\n%s", got, want, p.Items, s.Summary())
	}
	if missing := s.Complete(t, "prod/apple", "1.0"); missing != nil {
		t.Errorf("got missing content %v, want none", missing)
	}
	budget(t, s, map[registrytest.Kind]int{
		registrytest.Ping: 1, registrytest.Tags: 1, // olareg: an unknown repository has an empty list
		registrytest.ManifestHead: 3, // the digest at the destination, the tag before it is written and after
		registrytest.ManifestGet:  1,
		registrytest.Mount:        4,
		registrytest.ManifestPut:  1,
	})
	if got := s.Tags(t, "prod/apple")["1.0"]; got != img.Digest {
		t.Errorf("tag: got %s, want %s", got, img.Digest)
	}
	s.Reset()
	p = r.run(t)
	if len(p.Items) != 0 || p.UpToDate != 1 {
		t.Errorf("got %+v from a second run, want nothing to do", p)
	}
	budget(t, s, map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.Tags: 1, registrytest.ManifestHead: 1})
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	img := registrytest.Image(1, 3)
	s.Push(t, "staging/apple", img, "build")
	p := rig{dryRun: true, manifest: plain(want("apple", img.Digest, "1.0, latest"), s.Host+"/staging", s.Host+"/prod")}.run(t)
	if got, want := lines(p, map[string]string{img.Digest: "img"}), "copy planned prod/apple img 1.0,latest\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if w := s.Writes(); len(w) > 0 {
		t.Errorf("got writes %v, want none", w)
	}
}

// One blob body is read from the source however many hosts want it, and sent once to each.
func TestIndexToTwoHosts(t *testing.T) {
	t.Parallel()
	src, a, b := registrytest.New(t), registrytest.New(t), registrytest.New(t, registrytest.Distribution())
	index := registrytest.MultiArch(7, 3, 2)
	src.Push(t, "staging/apple", index, "build")
	r := rig{manifest: plain(want("apple", index.Digest, "1.0, latest, stable"), src.Host+"/staging", a.Host+"/prod", b.Host+"/prod", b.Host+"/other")}
	p := r.run(t)
	for _, it := range p.Items {
		if it.Status != plan.Done {
			t.Errorf("got %+v, want done", it)
		}
	}
	blobs := len(index.BlobDigests())
	if got := src.Count(registrytest.BlobGet); got != blobs {
		t.Errorf("blob reads: got %d, want %d\n%s", got, blobs, src.Summary())
	}
	if got := src.Count(registrytest.ManifestGet); got != 4 {
		t.Errorf("manifest reads: got %d, want 4", got)
	}
	for _, s := range []*registrytest.Server{a, b} {
		if got := bodies(s); got != blobs {
			t.Errorf("uploads: got %d, want %d\n%s", got, blobs, s.Summary())
		}
		if n := s.OpenUploads(); n != 0 {
			t.Errorf("got %d open uploads, want none", n)
		}
		for _, tag := range []string{"1.0", "latest", "stable"} {
			if missing := s.Complete(t, "prod/apple", tag); missing != nil {
				t.Errorf("got missing content %v, want none", missing)
			}
		}
	}
	if got := b.Count(registrytest.Mount); got != blobs {
		t.Errorf("mounts: got %d, want %d", got, blobs)
	}
	s := src
	s.Reset()
	if p := r.run(t); len(p.Items) != 0 {
		t.Errorf("got %+v from a second run, want nothing to do", p.Items)
	}
	if got := len(src.Requests()); got != 0 {
		t.Errorf("got %d requests of the second run to the source, want 0", got)
	}
}

// Two indexes share a child. That one of them has a child that cannot be read is no
// matter of the other's.
func TestFailureStaysInItsIndex(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	bad, shared := registrytest.Image(1, 1), registrytest.Image(2, 1)
	inner := registrytest.Index([]registrytest.Object{shared})
	broken, sound := registrytest.Index([]registrytest.Object{bad, shared}), registrytest.Index([]registrytest.Object{inner})
	src.Push(t, "staging/a", broken, "broken")
	src.Push(t, "staging/a", sound, "sound")
	asked := make(chan struct{})
	for _, later := range []string{bad.Digest, inner.Digest} {
		src.Fault(registrytest.Before(func(*http.Request) { <-asked }), registrytest.Ref(later))
	}
	src.Fault(registrytest.Refuse(403, "DENIED", "no"), registrytest.Ref(bad.Digest))
	src.Fault(registrytest.Before(func(r *http.Request) {
		close(asked)
		select { // it is under way when the other fails
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
	}), registrytest.Ref(shared.Digest), registrytest.First(1))
	r := rig{manifest: plain(want("a", broken.Digest, "1")+want("a", sound.Digest, "2"), src.Host+"/staging", dst.Host+"/prod")}
	got := lines(r.run(t), map[string]string{broken.Digest: "broken", sound.Digest: "sound"})
	if !strings.Contains(got, "copy failed prod/a broken 1") || !strings.Contains(got, "copy done prod/a sound 2\n") {
		t.Errorf("got %s, want 1 of broken failed and 2 of sound done", got)
	}
}

// What a registry's garbage collection took from under a tag is brought back.
func TestDeepRepairsWhatIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *registrytest.Server, registrytest.Object){
		"a blob": func(t *testing.T, s *registrytest.Server, o registrytest.Object) {
			s.DeleteBlob(t, "prod/a", o.Children[1].Blobs[1].Digest)
		},
		"a child": func(t *testing.T, s *registrytest.Server, o registrytest.Object) {
			s.DeleteManifest(t, "prod/a", o.Children[0].Digest)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			index := registrytest.MultiArch(3, 2, 2)
			src.Push(t, "staging/a", index, "x")
			r := rig{manifest: plain(want("a", index.Digest, "1, 2"), src.Host+"/staging", dst.Host+"/prod"), deep: true}
			r.run(t)
			if p := r.run(t); len(p.Items) != 0 || p.UpToDate != 2 {
				t.Fatalf("got %+v while nothing is lost, want 2 up to date", p)
			}
			lose(t, dst, index)
			if dst.Complete(t, "prod/a", "1") == nil {
				t.Fatal("got a complete image, want something lost")
			}
			p := r.run(t)
			if got, want := lines(p, map[string]string{index.Digest: "index"}), "copy done prod/a index 1,2\n"; got != want || p.UpToDate != 0 || len(p.Warnings) != 1 {
				t.Errorf("got %q, want %q; %d up to date; warnings %q", got, want, p.UpToDate, p.Warnings)
			}
			if missing := dst.Complete(t, "prod/a", "1"); missing != nil {
				t.Errorf("got missing content %v, want none", missing)
			}
		})
	}
}

// A large blob that comes with other bytes first is on its way to every destination
// by then: none of them gets to see its end, and all get it whole in the end.
func TestCorruptedBlobToTwoHosts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		hit  []registrytest.Match // of the blob's reads
		want plan.Status
	}{
		"at first": {[]registrytest.Match{registrytest.First(3)}, plan.Done},
		"always":   {nil, plan.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, one, two := registrytest.New(t), registrytest.New(t), registrytest.New(t)
			img := registrytest.Image(1, 1, registrytest.LayerSize(2<<20))
			src.Push(t, "staging/a", img, "build")
			layer := img.Blobs[1]
			src.Fault(registrytest.Corrupt(1000), append(tc.hit, registrytest.Ref(layer.Digest))...)
			p := rig{manifest: plain(want("a", img.Digest, "v1"), src.Host+"/staging", one.Host+"/prod", two.Host+"/prod")}.run(t)
			for _, it := range p.Items {
				if it.Status != tc.want {
					t.Errorf("%s: got %s, want %s: %s", it.Destination, it.Status, tc.want, it.Error)
				}
			}
			for _, s := range []*registrytest.Server{one, two} {
				if got := s.HasBlob(t, "prod/a", layer.Digest); got != (tc.want == plan.Done) {
					t.Errorf("got the layer there: %t, want %t\n%s", got, tc.want == plan.Done, s.Summary())
				}
				if n := s.OpenUploads(); n > 0 {
					t.Errorf("got %d open uploads, want none", n)
				}
				for _, problem := range s.Complete(t, "prod/a", "v1") {
					if tc.want == plan.Done {
						t.Error(problem)
					}
				}
			}
			if n := src.Count(registrytest.BlobGet); n > 1+4 {
				t.Errorf("got %d reads of blobs, want fewer\n%s", n, src.Summary())
			}
		})
	}
}
