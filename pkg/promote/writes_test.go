package promote_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// one is the only item of a plan.
func one(t *testing.T, p *plan.Plan) plan.Item {
	t.Helper()
	if len(p.Items) != 1 {
		t.Fatalf("got %d items, want 1: %+v", len(p.Items), p.Items)
	}
	return p.Items[0]
}

// outcomeOf fails unless an item has a status and its error says something.
func outcomeOf(t *testing.T, it plan.Item, want plan.Status, says string) {
	t.Helper()
	if it.Status != want || !strings.Contains(it.Error, says) {
		t.Errorf("got %s %q, want %s and %q", it.Status, it.Error, want, says)
	}
}

// Reading a tag and putting it are one step: what another promoter tags while the first
// of ten tags is put stays as it is.
func TestTagsAreReadOneByOne(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{"a registry that sets several tags at once": nil, "one that does not": {registrytest.NoMultiTag()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t, opts...)
			img, theirs := registrytest.Image(1, 1), registrytest.Image(2, 1)
			src.Push(t, "staging/a", img)
			var tags []string
			for i := range 10 {
				tag := fmt.Sprintf("t%d", i)
				tags = append(tags, tag)
				if i > 0 {
					dst.Fault(dst.MoveTag(t, "prod/a", tag, theirs), registrytest.Is(registrytest.ManifestPut), registrytest.First(1))
				}
			}
			p := rig{manifest: plain(want("a", img.Digest, strings.Join(tags, ", ")), src.Host+"/staging", dst.Host+"/prod")}.run(t)
			for tag, digest := range dst.Tags(t, "prod/a") {
				if tag != "t0" && digest != theirs.Digest {
					t.Errorf("%s points to %s, want %s, which another promoter put", tag, digest, theirs.Digest)
				}
			}
			if got, want := lines(p, map[string]string{img.Digest: "img"}), "copy refused prod/a img t"; strings.Count(got, want) != 9 || !strings.Contains(got, "copy done prod/a img t0\n") {
				t.Errorf("got\n%s, want nine times %q, and t0 done", got, want)
			}
		})
	}
}

// A PUT of a tag is never sent again without reading the tag first.
func TestEachTryReadsTheTag(t *testing.T) {
	t.Parallel()
	first := []registrytest.Match{registrytest.Is(registrytest.ManifestPut), registrytest.First(1)}
	for name, answer := range map[string]registrytest.Fault{
		"429":                 registrytest.Status(429, registrytest.Header("Retry-After", "0"), ""),
		"503":                 registrytest.Status(503, nil, ""),
		"500":                 registrytest.Status(500, nil, ""),
		"a broken connection": registrytest.ResetBefore(),
		"a blob is lost":      registrytest.Refuse(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			img, theirs := registrytest.Image(1, 1), registrytest.Image(2, 1)
			src.Push(t, "staging/a", img)
			dst.Fault(dst.MoveTag(t, "prod/a", "1", theirs), first[0], registrytest.First(1))
			dst.Fault(answer, first[0], registrytest.First(1))
			it := one(t, rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t))
			outcomeOf(t, it, plan.Refused, theirs.Digest)
			if got := dst.Tags(t, "prod/a")["1"]; got != theirs.Digest {
				t.Errorf("the tag points to %s, want %s", got, theirs.Digest)
			}
		})
	}
}

// A PUT that was carried out and not answered is done, and not sent again.
func TestUnansweredPutIsFound(t *testing.T) {
	t.Parallel()
	for name, tries := range map[string]int{"the first try": 1, "every try": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			img := registrytest.Image(1, 1)
			src.Push(t, "staging/a", img)
			dst.Fault(registrytest.ResetAfter(), registrytest.Is(registrytest.ManifestPut), registrytest.First(tries))
			it := one(t, rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t))
			outcomeOf(t, it, plan.Done, "")
			if n := dst.Count(registrytest.ManifestPut); n != 1 {
				t.Errorf("%d PUTs, want 1\n%s", n, dst.Summary())
			}
		})
	}
}

// A status that the manifest calls absent says that there is no repository until
// something was put there. It hides no tag.
func TestAbsentStatusHidesNoTag(t *testing.T) {
	t.Parallel()
	reads := registrytest.Is(registrytest.Tags, registrytest.ManifestHead, registrytest.ManifestGet)
	for name, tc := range map[string]struct {
		there bool // the tag exists
		ends  bool // the status is answered until something is put
		want  plan.Status
		says  string
	}{
		"no repository yet":                {false, true, plan.Done, ""},
		"no repository, and the tag is":    {true, true, plan.Refused, "has moved"},
		"always, and the tag exists":       {true, false, plan.Failed, "reading tag 1 before writing it"},
		"always, and the tag is not there": {false, false, plan.Failed, "reading tag 1 before writing it"},
	} {
		for _, status := range []int{403, 410} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				t.Parallel()
				src, dst := registrytest.New(t), registrytest.New(t)
				img, old := registrytest.Image(1, 1), registrytest.Image(2, 1)
				src.Push(t, "staging/a", img)
				if tc.there {
					dst.Push(t, "prod/a", old, "1")
				}
				match := []registrytest.Match{registrytest.Repo("prod/a")}
				if tc.ends {
					match = append(match, registrytest.Until(registrytest.Is(registrytest.ManifestPut)))
				}
				dst.Fault(registrytest.Refuse(status, "DENIED", "no"), append(match, reads)...)
				manifest := strings.Replace(plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod"),
					"images:", fmt.Sprintf("  absent-status: [%d]\nimages:", status), 1)
				it := one(t, rig{manifest: manifest}.run(t))
				outcomeOf(t, it, tc.want, tc.says)
				want := map[bool]string{true: old.Digest}[tc.there]
				if tc.want == plan.Done {
					want = img.Digest
				}
				if got := dst.Tags(t, "prod/a")["1"]; got != want {
					t.Errorf("the tag points to %q, want %q\n%s", got, want, dst.Summary())
				}
			})
		}
	}
}

// Of two runs that write one tag at once, the one that wrote first says what became of it.
func TestLoserOfARaceReportsIt(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img, theirs := registrytest.Image(1, 1), registrytest.Image(2, 1)
	src.Push(t, "staging/a", img)
	dst.Fault(dst.MoveTag(t, "prod/a", "1", theirs), registrytest.Is(registrytest.ManifestHead), registrytest.Ref("1"), registrytest.Nth(2))
	p := rig{manifest: plain(want("a", img.Digest, "1, 2"), src.Host+"/staging", dst.Host+"/prod")}.run(t)
	if got, want := lines(p, map[string]string{img.Digest: "img"}), "copy failed prod/a img 1\ncopy done prod/a img 2\n"; got != want && got != "copy done prod/a img 2\ncopy failed prod/a img 1\n" {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, it := range p.Items {
		if it.Status == plan.Failed {
			outcomeOf(t, it, plan.Failed, "now points to "+theirs.Digest)
		}
	}
}

// A manifest that the registry took and does not have is not done.
func TestWhatIsNotThereIsNotDone(t *testing.T) {
	t.Parallel()
	const elsewhere = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for name, tc := range map[string]struct {
		tags  string
		fault registrytest.Fault
		says  string
	}{
		"a digest that is not stored":      {"", registrytest.LoseManifests(), "the registry does not have it"},
		"a tag that is not stored":         {"1", registrytest.Status(http.StatusCreated, nil, ""), "the registry does not have it"},
		"a digest stored under another":    {"", registrytest.WrongDigest(elsewhere), "another digest"},
		"a tag with the digest of another": {"1", registrytest.WrongDigest(elsewhere), "another digest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			img := registrytest.Image(1, 1)
			src.Push(t, "staging/a", img)
			dst.Fault(tc.fault, registrytest.Is(registrytest.ManifestPut))
			it := one(t, rig{manifest: plain(want("a", img.Digest, tc.tags), src.Host+"/staging", dst.Host+"/prod")}.run(t))
			outcomeOf(t, it, plan.Failed, tc.says)
		})
	}
}

// A registry that does not find by HEAD what it has is asked by GET.
func TestReadBackByGet(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t)
	img := registrytest.Image(1, 1)
	src.Push(t, "staging/a", img)
	dst.Fault(registrytest.Refuse(404, "MANIFEST_UNKNOWN", "no"), registrytest.Is(registrytest.ManifestHead))
	it := one(t, rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t))
	outcomeOf(t, it, plan.Done, "")
}

// A pull-through cache knows a digest once its tag was pulled.
func TestDigestIsFoundByItsTag(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tagged int // the image that the tag points to
		want   string
	}{
		"the tag has the digest": {1, "copy done prod/a img 1\n"},
		"the tag has another":    {2, "missing refused prod/a img 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := registrytest.New(t), registrytest.New(t)
			img := registrytest.Image(1, 1)
			src.Push(t, "staging/a", registrytest.Image(tc.tagged, 1), "1")
			src.Fault(registrytest.Refuse(404, "MANIFEST_UNKNOWN", "no"), registrytest.Ref(img.Digest), registrytest.Until(registrytest.Ref("1")))
			p := rig{manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod", dst.Host+"/eu")}.run(t)
			if got, want := lines(p, map[string]string{img.Digest: "img"}), strings.Replace(tc.want, "prod", "eu", 1)+tc.want; got != want {
				t.Errorf("got %q, want %q: %+v", got, want, p.Items)
			}
			if n := src.Count(registrytest.ManifestGet) + src.Count(registrytest.ManifestHead); n != 2 {
				t.Errorf("%d requests for manifests, want 2\n%s", n, src.Summary())
			}
		})
	}
}

// The reading of a tag and its PUT need one request in flight, also where tokens run out
// in between.
func TestTagsWithOneRequestAtOnce(t *testing.T) {
	for uses := 2; uses <= 4; uses++ {
		t.Run(fmt.Sprint("tokens for ", uses, " requests"), func(t *testing.T) {
			s := registrytest.New(t, registrytest.TokenAuth(map[string]string{"me": "secret"}, registrytest.TokenUses(uses)))
			dir := t.TempDir()
			config := fmt.Sprintf(`{"auths":{%q:{"username":"me","password":"secret"}}}`, s.Host)
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("DOCKER_CONFIG", dir)
			img := registrytest.Image(1, 1)
			s.Push(t, "staging/a", img)
			r := rig{manifest: plain(want("a", img.Digest, "1, 2, 3, 4"), s.Host+"/staging", s.Host+"/prod")}
			r.options.Threads = 1
			if got, want := lines(r.run(t), map[string]string{img.Digest: "img"}), "copy done prod/a img 1,2,3,4\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A fallback tag that somebody else writes between reading and PUT keeps what they listed.
func TestFallbackTagKeepsWhatOthersList(t *testing.T) {
	t.Parallel()
	src, dst := registrytest.New(t), registrytest.New(t, registrytest.Distribution())
	img := registrytest.Image(1, 1)
	ours := registrytest.Artifact(2, "application/vnd.example.sbom", registrytest.Subject(img))
	theirs := registrytest.Artifact(3, "application/vnd.example.signature", registrytest.Subject(img))
	src.Push(t, "staging/a", img)
	src.Push(t, "staging/a", ours)
	tag := registry.FallbackTag(image.Hash(img.Digest))
	dst.Fault(dst.MoveTag(t, "prod/a", tag, registrytest.Index([]registrytest.Object{theirs})),
		registrytest.Is(registrytest.ManifestHead), registrytest.Ref(tag), registrytest.First(1))
	p := rig{referrers: true, manifest: plain(want("a", img.Digest, "1"), src.Host+"/staging", dst.Host+"/prod")}.run(t)
	for _, it := range p.Items {
		outcomeOf(t, it, plan.Done, "")
	}
	raw, _, _ := dst.Manifest(t, "prod/a", tag)
	for _, o := range []registrytest.Object{ours, theirs} {
		if !strings.Contains(string(raw), o.Digest) {
			t.Errorf("got no %s, want it in the index %s", o.Digest, raw)
		}
	}
}
