package e2e

import (
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// TestDistribution promotes on real registries, over HTTP/1.1 and over HTTP/2 with TLS.
func TestDistribution(t *testing.T) {
	t.Parallel()
	if registryBinary() == "" {
		t.Skipf("NOT TESTED on a real registry: %s is not set", registryVariable)
	}
	for name, opts := range map[string][]rt.Option{"http": nil, "http2": {rt.HTTP2()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("same registry", func(t *testing.T) { t.Parallel(); sameRegistry(t, opts) })
			t.Run("two registries", func(t *testing.T) { t.Parallel(); twoRegistries(t, opts) })
			t.Run("conflict", func(t *testing.T) { t.Parallel(); conflictThere(t, opts) })
			t.Run("snapshot", func(t *testing.T) { t.Parallel(); snapshotThere(t, opts) })
		})
	}
}

// trusting adds the flag that trusts a registry's certificate, if it has one.
func trusting(t testing.TB, s *rt.Server, args ...string) []string {
	t.Helper()
	if s.URL == "http://"+s.Host {
		return args
	}
	return append(args, "--ca-file="+s.CAFile(t))
}

// sameRegistry promotes inside one registry: blobs are mounted.
func sameRegistry(t *testing.T, opts []rt.Option) {
	reg := rt.Proxy(t, distribution(t), opts...)
	s := newSpread()
	s.push(t, reg, "staging")
	args := trusting(t, reg, "--manifest="+writeManifest(t, s.images(), reg.Host+"/staging", reg.Host+"/prod"))
	run(t, 0, args...)
	if w := reg.Writes(); len(w) > 0 {
		t.Fatalf("got writes %v of a dry run, want none", w)
	}
	reg.Reset()
	out := run(t, 0, append(args, "--confirm")...)
	s.check(t, reg, "prod")
	const tags = 3
	exactly(t, reg, map[rt.Kind]int{rt.Mount: s.blobs()})
	atMost(t, reg, map[rt.Kind]int{
		rt.Ping: 1, rt.Tags: 3,
		rt.ManifestGet:  s.manifests(),
		rt.Mount:        s.blobs(),
		rt.ManifestPut:  s.manifests() + tags,
		rt.ManifestHead: 2*tags + 2, // the tags before they are written and after, and so the digest that is wanted without one
	})
	if out.report.Bytes != 0 {
		t.Errorf("got %d bytes of blobs copied, want 0", out.report.Bytes)
	}
	secondRun(t, reg, nil, args)
}

// secondRun runs again and checks what finding nothing to do may cost.
func secondRun(t *testing.T, dst, src *rt.Server, args []string) {
	t.Helper()
	dst.Reset()
	if src != nil {
		src.Reset()
	}
	out := run(t, 0, append(args, "--confirm")...)
	if n := len(out.report.Promotions); n > 0 {
		t.Errorf("got %d promotions of the second run, want 0", n)
	}
	atMost(t, dst, map[rt.Kind]int{rt.Ping: 1, rt.Tags: 3, rt.ManifestHead: 4})
	if src != nil && src.Count() > 0 {
		t.Errorf("got %d requests of the second run to the source, want 0\n%s", src.Count(), src.Summary())
	}
}

// twoRegistries promotes to two other registries: each blob is read once.
func twoRegistries(t *testing.T, opts []rt.Option) {
	src := rt.Proxy(t, distribution(t), opts...)
	a, b := rt.Proxy(t, distribution(t), opts...), rt.Proxy(t, distribution(t), opts...)
	s := newSpread()
	s.push(t, src, "staging")
	a.Push(t, "prod/apple", rt.Image(9, 1, rt.Base(1)), "old") // which shares one layer
	args := trusting(t, src, "--manifest="+writeManifest(t, s.images(), src.Host+"/staging", a.Host+"/prod", b.Host+"/prod"))
	run(t, 0, append(args, "--confirm")...)
	s.check(t, a, "prod")
	s.check(t, b, "prod")
	exactly(t, src, map[rt.Kind]int{rt.BlobGet: s.blobs(), rt.ManifestGet: s.manifests()})
	if n := src.Count(); n != 1+s.blobs()+s.manifests() {
		t.Errorf("the source was asked %d times, want %d\n%s", n, 1+s.blobs()+s.manifests(), src.Summary())
	}
	for i, dst := range []*rt.Server{a, b} {
		lacking := s.blobs() + i - 1
		exactly(t, dst, map[rt.Kind]int{rt.UploadPut: lacking, rt.UploadPost: lacking, rt.UploadPatch: 0, rt.BlobGet: 0})
		atMost(t, dst, map[rt.Kind]int{
			rt.Ping: 1, rt.Tags: 3,
			rt.BlobHead: s.blobs(), rt.UploadPost: lacking, rt.UploadPut: lacking,
			rt.ManifestPut:  s.manifests() + 3,
			rt.ManifestHead: 2*3 + 2 + 1, // the tags and the digest without one, before and after; where there are tags, the digest that none of them has
		})
		if n := dst.OpenUploads(); n > 0 {
			t.Errorf("got %d open uploads, want 0\n%s", n, dst.Summary())
		}
	}
	if opts != nil {
		for _, r := range src.Requests() {
			if r.Proto != "HTTP/2.0" {
				t.Fatalf("got %s, want HTTP/2.0: %s", r.Proto, r)
			}
		}
	}
	secondRun(t, a, src, args)
}

// conflictThere finds a tag that points elsewhere.
func conflictThere(t *testing.T, opts []rt.Option) {
	reg := rt.Proxy(t, distribution(t), opts...)
	s, old := newSpread(), rt.Image(8, 1)
	s.push(t, reg, "staging")
	reg.Push(t, "prod/apple", old, "1.0")
	args := trusting(t, reg, "--manifest="+writeManifest(t, s.images(), reg.Host+"/staging", reg.Host+"/prod"), "--confirm")
	out := run(t, 1, args...)
	if got := reg.Tags(t, "prod/apple")["1.0"]; got != old.Digest {
		t.Errorf("got the tag at %s, want %s", got, old.Digest)
	}
	statuses := map[string]string{}
	for _, p := range out.report.Promotions {
		statuses[p.Digest] = p.Action + " " + p.Status + " " + p.PreviousDigest
	}
	want := map[string]string{s.apple.Digest: "conflict refused " + old.Digest, s.pear.Digest: "copy done ", s.list.Digest: "copy done "}
	for digest, w := range want {
		if statuses[digest] != w {
			t.Errorf("%s: %q, want %q", digest, statuses[digest], w)
		}
	}
	for _, p := range wrong(t, reg, "prod/pear", s.pear, "1.0", "latest") {
		t.Error(p)
	}
}

// snapshotThere promotes the content of a snapshot to another registry, which then has the same snapshot.
func snapshotThere(t *testing.T, opts []rt.Option) {
	reg := rt.Proxy(t, distribution(t), opts...)
	s := newSpread()
	s.push(t, reg, "staging")
	first := product(t, 0, trusting(t, reg, "snapshot", reg.Host+"/staging")...)
	other := rt.Proxy(t, distribution(t), opts...)
	manifest := writeManifest(t, first.stdout, reg.Host+"/staging", other.Host+"/prod")
	run(t, 0, trusting(t, reg, "--manifest="+manifest, "--confirm")...)
	second := product(t, 0, trusting(t, reg, "snapshot", other.Host+"/prod")...)
	if first.stdout != second.stdout || first.stdout == "" {
		t.Errorf("the snapshots differ:\n%s\n%s", first.stdout, second.stdout)
	}
}
