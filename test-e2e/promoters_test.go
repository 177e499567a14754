package e2e

import (
	"net/http"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// TestTwoPromoters runs two promotions at once on one destination. Of the same
// plan both end well; of plans that want one tag for two digests one wins, and the
// other says whom it met, also if it had written the tag first. No tag is ever incomplete.
func TestTwoPromoters(t *testing.T) {
	t.Parallel()
	for name, same := range map[string]bool{"the same plan": true, "different plans": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := rt.New(t), rt.New(t)
			images, wanted := crowdOf(t, src)
			others, theirs := images, wanted
			if !same {
				others = map[string]rt.Object{}
				var b strings.Builder
				seed := 1000
				for name := range images {
					o := rt.Image(seed, 2)
					src.Push(t, "staging/"+name, o, "other")
					others[name] = o
					b.WriteString(entry(name, o.Digest, "1.0"))
					seed++
				}
				theirs = b.String()
			}
			watch := rt.Before(func(*http.Request) {
				for name := range images {
					digest := dst.Tags(t, "prod/"+name)["1.0"]
					if digest == "" {
						continue
					}
					for _, p := range dst.Complete(t, "prod/"+name, digest) {
						t.Errorf("got visible what is not complete, want it complete: %s", p)
					}
				}
			})
			dst.Fault(watch, rt.Is(rt.ManifestPut), rt.Every(10))
			var all [2]*process
			for i, entries := range []string{wanted, theirs} {
				all[i] = start(t, "run", "--confirm", "--manifest="+writeManifest(t, entries, src.Host+"/staging", dst.Host+"/prod"))
			}
			var outs [2]outcome
			for i, p := range all {
				outs[i] = p.wait(t, runLimit)
				if outs[i].report == nil || outs[i].code > 1 || same && outs[i].code != 0 {
					t.Fatalf("got exit code %d, report %t, want 0, or 1 where the promoters differ, and true\n%s", outs[i].code, outs[i].report != nil, outs[i])
				}
			}
			late := 0
			for name := range images {
				tag := dst.Tags(t, "prod/"+name)["1.0"]
				if tag != images[name].Digest && tag != others[name].Digest {
					t.Errorf("%s is %q, which nobody wanted", name, tag)
				}
				for _, p := range dst.Complete(t, "prod/"+name, "1.0") {
					t.Error(p)
				}
				for i, wants := range []string{images[name].Digest, others[name].Digest} {
					item := itemOf(outs[i].report, wants)
					switch {
					case item == nil:
					case item.Status == "done" && tag != wants:
						late++
					case item.Status == "done":
					case item.Status != "refused" && item.Status != "failed" || !strings.Contains(item.Error, tag):
						t.Errorf("%s: got %s with error %q, want refused or failed because of %s", name, item.Status, item.Error, tag)
					}
					if tag != wants && item == nil {
						t.Errorf("%s: got no item in the report of the promoter that lost, want one", name)
					}
				}
			}
			// A registry has no compare-and-set: a writer that read a tag before the PUT of the other
			// one, and writes it after that one has read it back, is not noticed. On a busy machine
			// this happens to a few.
			if most := len(images) / 10; late > most {
				t.Errorf("tags that are done and point to another digest: got %d, want %d at most", late, most)
			}
			if n := dst.OpenUploads(); n > 0 {
				t.Errorf("got %d open uploads, want 0", n)
			}
		})
	}
}

// itemOf returns the item of a digest, or nil.
func itemOf(r *report, digest string) *promotion {
	for i, p := range r.Promotions {
		if p.Digest == digest {
			return &r.Promotions[i]
		}
	}
	return nil
}
