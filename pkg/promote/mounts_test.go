package promote_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Where a host mounts only what a manifest of the source repository refers to, as ECR
// does, a blob is read once, and sent once to each host, for all repositories.
func TestMountsOfCommittedBlobs(t *testing.T) {
	t.Parallel()
	img, index := registrytest.Image(1, 3), registrytest.MultiArch(7, 3, 2)
	// Each of these shares a layer with the next one, and the last one with the first.
	var ring []registrytest.Object
	for i := range 5 {
		ring = append(ring, registrytest.Image(20+i, 1, registrytest.Base(30+i, 30+(i+1)%5)))
	}
	all := append([]registrytest.Object{img, index}, ring...)
	for name, tc := range map[string]struct {
		images func(repo int) string
		bodies []registrytest.Object // whose blobs are sent
	}{
		"an image": {func(int) string { return edges(img.Digest, "1") }, []registrytest.Object{img}},
		"an index": {func(int) string { return edges(index.Digest, "1") }, []registrytest.Object{index}},
		"images that share layers in a ring": {
			func(i int) string { return edges(ring[i].Digest, "1", ring[(i+2)%5].Digest, "2") }, ring,
		},
	} {
		for _, near := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", on the source's host: ", near), func(t *testing.T) {
				t.Parallel()
				dst := []*registrytest.Server{registrytest.New(t, registrytest.CommittedMounts()), registrytest.New(t, registrytest.CommittedMounts())}
				src := dst[0]
				if !near {
					src = registrytest.New(t)
				}
				var images strings.Builder
				for i := range 5 {
					repo := fmt.Sprintf("r%d", i)
					for _, o := range all {
						src.Push(t, "staging/"+repo, o)
					}
					images.WriteString(want(repo) + tc.images(i))
				}
				p := rig{manifest: plain(images.String(), src.Host+"/staging", dst[0].Host+"/prod", dst[1].Host+"/prod")}.run(t)
				for _, it := range p.Items {
					if it.Status != plan.Done {
						t.Errorf("got %s for %s, want done: %s", it.Status, it.Destination, it.Error)
					}
				}
				blobs := distinctBlobs(tc.bodies)
				if n := src.Count(registrytest.BlobGet); n != blobs {
					t.Errorf("got %d reads of blobs at the source, want %d\n%s", n, blobs, src.Summary())
				}
				for _, d := range dst {
					sent := blobs
					if d == src {
						sent = 0
					}
					if got := bodies(d); got != sent {
						t.Errorf("got %d blobs sent to %s, want %d\n%s", got, d.Host, sent, d.Summary())
					}
					if n := d.OpenUploads(); n != 0 {
						t.Errorf("got %d open uploads, want none", n)
					}
					for i := range 5 {
						if missing := d.Complete(t, fmt.Sprintf("prod/r%d", i), "1"); missing != nil {
							t.Errorf("got missing content %v in prod/r%d, want none", missing, i)
						}
					}
				}
			})
		}
	}
}

// edges are further lines of an images entry.
func edges(list ...string) string {
	return strings.TrimPrefix(want("", list...), "- name: \n  dmap:\n")
}

func distinctBlobs(all []registrytest.Object) int {
	found := map[string]struct{}{}
	for _, o := range all {
		for _, d := range o.BlobDigests() {
			found[d] = struct{}{}
		}
	}
	return len(found)
}

// bodies returns the number of uploads with a body that succeeded.
func bodies(s *registrytest.Server) (n int) {
	for _, r := range s.Requests() {
		if (r.Kind == registrytest.UploadPut || r.Kind == registrytest.UploadPost) && r.Status == http.StatusCreated {
			n++
		}
	}
	return n
}

// If the repository that gets a blob first does not get its manifest, the other ones do
// not wait forever.
func TestMountsFromARepositoryThatFails(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 3)
	src, dst := registrytest.New(t), registrytest.New(t, registrytest.CommittedMounts())
	dst.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", ""), registrytest.Is(registrytest.ManifestPut), registrytest.Repo("prod/a"))
	var images string
	for _, repo := range []string{"a", "b", "c"} {
		src.Push(t, "staging/"+repo, img)
		images += want(repo, img.Digest, "1")
	}
	p := rig{manifest: plain(images, src.Host+"/staging", dst.Host+"/prod")}.run(t)
	if got, want := lines(p, map[string]string{img.Digest: "img"}), "copy failed prod/a img 1\ncopy done prod/b img 1\ncopy done prod/c img 1\n"; got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if n := dst.OpenUploads(); n != 0 {
		t.Errorf("got %d open uploads, want none\n%s", n, dst.Summary())
	}
}

// A single refusal of a mount disqualifies neither the repository nor the host.
func TestOneRefusedMount(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 4)
	s := registrytest.New(t)
	s.Push(t, "staging/x", img)
	s.Fault(registrytest.RefuseMounts(http.StatusAccepted), registrytest.Is(registrytest.Mount), registrytest.First(1))
	p := rig{manifest: plain(want("x", img.Digest, "1"), s.Host+"/staging", s.Host+"/prod")}.run(t)
	outcomeOf(t, one(t, p), plan.Done, "")
	if n, want := s.Count(registrytest.Mount), len(img.Blobs); n != want {
		t.Errorf("got %d mounts, want %d\n%s", n, want, s.Summary())
	}
	if n := bodies(s); n != 1 {
		t.Errorf("got %d blobs sent, want 1\n%s", n, s.Summary())
	}
	if n := s.OpenUploads(); n != 0 {
		t.Errorf("got %d open uploads, want none\n%s", n, s.Summary())
	}
}

// Nothing is asked twice in a promotion between registries, but tags: before and after
// they are written. Small blobs are not looked for in repositories that held nothing, and
// large ones are.
func TestNothingIsAskedTwice(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]registrytest.Option{
		"olareg":          nil,
		"distribution":    {registrytest.Distribution()},
		"Google":          {registrytest.GoogleListing()},
		"mounts as ECR":   {registrytest.CommittedMounts()},
		"HTTP/2 with TLS": {registrytest.HTTP2()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t, options...)
			img, large := registrytest.Image(1, 3), registrytest.Image(2, 1, registrytest.LayerSize(1<<20))
			index, child := registrytest.MultiArch(3, 3, 2), registrytest.Image(4, 2, registrytest.Base(9))
			held := registrytest.Image(5, 2)
			src.Push(t, "staging/held", held)
			dst.Push(t, "prod/held", held, "old")
			images := want("held", held.Digest, "old, new")
			for _, repo := range []string{"a", "b"} {
				for _, o := range []registrytest.Object{img, large, index, child} {
					src.Push(t, "staging/"+repo, o)
				}
				images += want(repo, img.Digest, "1, 2", large.Digest, "3", index.Digest, "4", child.Digest, "")
			}
			r := rig{manifest: plain(images, src.Host+"/staging", dst.Host+"/prod")}
			if strings.HasPrefix(dst.URL, "https") {
				r.options.InsecureTLS = []string{dst.Host}
			}
			src.Reset()
			dst.Reset()
			for _, it := range r.run(t).Items {
				if it.Status != plan.Done {
					t.Errorf("got %s for %s, want done: %s", it.Status, it.Destination, it.Error)
				}
			}
			seen := map[string]int{}
			for _, r := range slices.Concat(src.Requests(), dst.Requests()) {
				if r.Kind == registrytest.Ping {
					continue // one at each host
				}
				most := 1
				switch {
				case r.Kind == registrytest.ManifestHead && (!strings.Contains(r.Ref, ":") || r.Ref == child.Digest):
					most = 2 // before and after
				case r.Kind == registrytest.UploadPost && r.Query == "":
					continue // it opens a session: each has another blob
				case r.Kind == registrytest.Mount && r.Status == http.StatusAccepted:
					continue // it shows that the host mounts only what is committed
				case r.Kind == registrytest.BlobHead && r.Ref != large.Blobs[1].Digest:
					t.Errorf("got %s, want no HEAD for a small blob in a repository that held nothing", r)
				}
				key := r.Method + " " + r.Path + "?" + r.Query
				if seen[key]++; seen[key] > most {
					t.Errorf("got request %d of %s, want %d at most", seen[key], r, most)
				}
			}
		})
	}
}
