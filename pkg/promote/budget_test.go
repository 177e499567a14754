package promote_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// The request budget of docs/promotion.md, counted on the wire.
func TestReadingBudget(t *testing.T) {
	t.Parallel()
	a, b, c := registrytest.Image(1, 1), registrytest.Image(2, 1), registrytest.Image(3, 1)
	images := want("x", a.Digest, "1, 2, gone", b.Digest, "3", c.Digest, "")
	for name, tc := range map[string]struct {
		options []registrytest.Option
		push    func(*testing.T, *registrytest.Server)
		want    map[registrytest.Kind]int
		upTo    int
	}{
		"an empty list": {nil, nil, map[registrytest.Kind]int{registrytest.Tags: 1, registrytest.ManifestHead: 3}, 0},
		"no list: only what is wanted without tags is asked for": {
			[]registrytest.Option{registrytest.StrictTagList404()}, nil,
			// The digest without a tag, and, being nowhere, each before it is called missing.
			map[registrytest.Kind]int{registrytest.Tags: 1, registrytest.ManifestHead: 3}, 0,
		},
		"tags that are right prove their digest": {
			nil, func(t *testing.T, s *registrytest.Server) {
				s.Push(t, "prod/x", a, "1", "2")
				s.Push(t, "prod/x", b, "3", "other")
				s.Push(t, "prod/x", c)
			},
			map[registrytest.Kind]int{registrytest.Tags: 1, registrytest.ManifestHead: 3 + 1}, 4,
		},
		"a tag that is wrong does not": {
			nil, func(t *testing.T, s *registrytest.Server) {
				s.Push(t, "prod/x", a, "1", "2", "gone", "3")
			},
			map[registrytest.Kind]int{registrytest.Tags: 1, registrytest.ManifestHead: 4 + 2}, 3,
		},
		"Google's listing has everything": {
			[]registrytest.Option{registrytest.GoogleListing()}, func(t *testing.T, s *registrytest.Server) {
				s.Push(t, "prod/x", a, "1", "2")
				s.Push(t, "prod/x", c)
			},
			map[registrytest.Kind]int{registrytest.Tags: 1}, 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t, tc.options...)
			if tc.push != nil {
				tc.push(t, dst)
			}
			p := rig{dryRun: true, manifest: plain(images, src.Host+"/staging", dst.Host+"/prod")}.run(t)
			tc.want[registrytest.Ping] = 1
			budget(t, dst, tc.want)
			if p.UpToDate != tc.upTo {
				t.Errorf("%d up to date, want %d: %+v", p.UpToDate, tc.upTo, p.Items)
			}
		})
	}
}

// A run that changes nothing asks the source for nothing but unpinned source tags.
func TestSourceBudget(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	a, b := registrytest.Image(1, 1), registrytest.Image(2, 1)
	src.Push(t, "staging/x", a, "build-1")
	src.Push(t, "staging/x", b, "build-2")
	images := fmt.Sprintf("- name: x\n  retag:\n  - {src_build_tag: build-1, tag: '1'}\n  - {src_build_tag: build-2, tag: '2', digest: %s}\n", b.Digest)
	r := rig{manifest: plain(images, src.Host+"/staging", dst.Host+"/prod", dst.Host+"/eu")}
	p := r.run(t)
	names := map[string]string{a.Digest: "a", b.Digest: "b"}
	for _, line := range []string{"copy done eu/x a 1", "copy done eu/x b 2", "copy done prod/x a 1", "copy done prod/x b 2"} {
		if !strings.Contains(lines(p, names), line+"\n") {
			t.Errorf("got no %q, want it in\n%s", line, lines(p, names))
		}
	}
	budget(t, src, map[registrytest.Kind]int{
		registrytest.Ping: 1, registrytest.ManifestHead: 2, registrytest.ManifestGet: 2, registrytest.BlobGet: 4,
	})
	src.Reset()
	if p := r.run(t); len(p.Items) != 0 || p.UpToDate != 4 {
		t.Errorf("got %+v from a second run, want nothing to do", p)
	}
	budget(t, src, map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.ManifestHead: 1})
	src.Push(t, "staging/x", a, "build-2")
	if p := r.run(t); len(p.Items) != 0 {
		t.Errorf("got %+v, want none: a pin is not compared while nothing lacks", p.Items)
	}
	dst.DeleteTag(t, "eu/x", "2")
	if got, want := lines(r.run(t), names), "invalid refused eu/x b 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWritingBudget(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 3)
	index := registrytest.MultiArch(7, 3, 2)
	blobs := len(index.BlobDigests())
	for name, tc := range map[string]struct {
		dst    []registrytest.Option
		before func(*testing.T, *registrytest.Server)
		images string
		want   map[registrytest.Kind]int // of writing
	}{
		"an image with three tags": {
			[]registrytest.Option{registrytest.Distribution()}, nil, want("x", img.Digest, "1, 2, 3"),
			map[registrytest.Kind]int{registrytest.Mount: 4, registrytest.ManifestPut: 3, registrytest.ManifestHead: 2 * 3, registrytest.ManifestGet: 1},
		},
		"an image without a tag": {
			[]registrytest.Option{registrytest.Distribution()}, nil, want("x", img.Digest, ""),
			map[registrytest.Kind]int{registrytest.Mount: 4, registrytest.ManifestPut: 1, registrytest.ManifestHead: 1 + 1, registrytest.ManifestGet: 1},
		},
		"an index": {
			[]registrytest.Option{registrytest.Distribution()}, nil, want("x", index.Digest, "1"),
			map[registrytest.Kind]int{registrytest.Mount: blobs, registrytest.ManifestPut: 3 + 1, registrytest.ManifestHead: 2, registrytest.ManifestGet: 4},
		},
		"the digest is there, a tag is missing": {
			[]registrytest.Option{registrytest.Distribution()},
			func(t *testing.T, s *registrytest.Server) { s.Push(t, "prod/x", img, "1") }, want("x", img.Digest, "1, 2"),
			map[registrytest.Kind]int{registrytest.ManifestPut: 1, registrytest.ManifestHead: 1 + 2, registrytest.ManifestGet: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, tc.dst...)
			s.Push(t, "staging/x", img, "a")
			s.Push(t, "staging/x", index, "b")
			if tc.before != nil {
				tc.before(t, s)
			}
			p := rig{manifest: plain(tc.images, s.Host+"/staging", s.Host+"/prod")}.run(t)
			for _, it := range p.Items {
				if it.Status != plan.Done {
					t.Errorf("got %+v, want done", it)
				}
			}
			tc.want[registrytest.Ping], tc.want[registrytest.Tags] = 1, 1
			budget(t, s, tc.want)
		})
	}
}

// A refused mount costs at most three requests a blob. After the second one, no further
// mount is requested: one may be about its blob.
func TestRefusedMounts(t *testing.T) {
	t.Parallel()
	for _, status := range []int{202, 401, 403, 404, 405, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t, registrytest.Distribution())
			one, two := registrytest.Image(1, 3), registrytest.Image(2, 3)
			s.Push(t, "staging/x", one, "a")
			s.Push(t, "staging/x", two, "b")
			s.Fault(registrytest.RefuseMounts(status), registrytest.Is(registrytest.Mount))
			p := rig{manifest: plain(want("x", one.Digest, "1", two.Digest, "2"), s.Host+"/staging", s.Host+"/prod")}.run(t)
			for _, it := range p.Items {
				if it.Status != plan.Done {
					t.Errorf("got %+v, want done", it)
				}
			}
			blobs := len(one.BlobDigests()) + len(two.BlobDigests())
			if n := s.Count(registrytest.UploadPut); n != blobs {
				t.Errorf("%d uploads, want %d", n, blobs)
			}
			if n := s.Count(registrytest.BlobGet); n != blobs {
				t.Errorf("%d blob reads, want %d", n, blobs)
			}
			if n := s.Count(registrytest.BlobHead); n != 0 {
				t.Errorf("got %d blob HEADs in a repository that held nothing, want none", n)
			}
			// A failing host gets all tries of each request.
			if n, most := s.Count(registrytest.Mount), map[bool]int{false: 2, true: 2 * 3}[status == 500]; n != most {
				t.Errorf("%d mounts, want %d", n, most)
			}
			if n := s.OpenUploads(); n != 0 {
				t.Errorf("got %d open uploads, want none\n%s", n, s.Summary())
			}
			for _, tag := range []string{"1", "2"} {
				if missing := s.Complete(t, "prod/x", tag); missing != nil {
					t.Errorf("got missing content %v, want none", missing)
				}
			}
		})
	}
}

// A dry run estimates what the real run requests, if the destination lacks all blobs.
func TestEstimateOfUploads(t *testing.T) {
	t.Parallel()
	small, large := registrytest.Image(1, 3), registrytest.Image(2, 1, registrytest.LayerSize(1<<20))
	for name, held := range map[string]bool{"a destination that holds nothing": false, "a destination that holds another image": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t, registrytest.Distribution())
			src.Push(t, "staging/x", small)
			src.Push(t, "staging/x", large)
			if held {
				dst.Push(t, "prod/x", registrytest.Image(9, 1), "other")
			}
			p := rig{manifest: plain(want("x", small.Digest, "1, 2", large.Digest, "3"), src.Host+"/staging", dst.Host+"/prod")}.promotion(t)
			defer p.Close()
			result := p.Plan(t.Context())
			estimate := p.Report(result, true).Estimate
			p.Run(t.Context(), result)
			for _, s := range []*registrytest.Server{src, dst} {
				if got, want := len(s.Requests()), estimate[s.Host].Requests; got != want {
					t.Errorf("got %d requests, want the %d that were estimated\n%s", got, want, s.Summary())
				}
			}
		})
	}
}
