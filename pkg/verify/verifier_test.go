package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// statuses are the statuses of a chain's links, by kind.
func statuses(c Chain) map[Kind]Status {
	all := map[Kind]Status{}
	for _, l := range c.Links {
		all[l.Kind] = l.Status
	}
	return all
}

func TestIntactChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(recorder, w.statement(publicName, nil))
	w.build("staging/apple", goodBuilder)
	v := w.verifier()
	v.Scope.set.Manifests[0].File = "" // only names of files in git are compared below
	chains := w.verify(v, publicName+":v1", w.Host+"/prod/apple@"+w.apple.Digest)
	for _, c := range chains {
		if c.Verdict != Intact || c.Digest != w.apple.Digest || len(c.Notes) > 0 {
			t.Errorf("%s: got verdict %q, digest %s and notes %q, want %q, %s and none", c.Reference, c.Verdict, c.Digest, c.Notes, Intact, w.apple.Digest)
		}
		want := map[Kind]string{
			KindRecord:     `signed by "promoter@example.com" of "https://accounts.example.com" at 2026-11-02T06:30:00Z: ` + w.Host + "/prod/apple@sha256:",
			KindManifest:   "k8s/images/orchard/images.yaml:3:5 in commit " + w.commit,
			KindSource:     w.Host + "/staging/apple@" + w.apple.Digest,
			KindSignature:  "not required",
			KindProvenance: "promoter-manifest.yaml:1:1, " + w.Host + "/staging/apple: satisfied, build level 3",
		}
		for _, l := range c.Links {
			if !strings.Contains(l.Detail, want[l.Kind]) {
				t.Errorf("%s of %s: got detail %q, want %q in it", l.Kind, c.Reference, l.Detail, want[l.Kind])
			}
			delete(want, l.Kind)
		}
		if len(want) > 0 {
			t.Errorf("%s: got no link for %v", c.Reference, want)
		}
	}
}

func TestBrokenChains(t *testing.T) {
	t.Parallel()
	intact := func() map[Kind]Status {
		return map[Kind]Status{KindRecord: OK, KindManifest: OK, KindSource: OK, KindSignature: NotChecked, KindProvenance: OK}
	}
	cases := map[string]struct {
		prepare func(w *world, v *Verifier)
		build   string          // the builder that the provenance names; default: the good one
		want    map[Kind]Status // that differ
		words   string          // in a detail or note
	}{
		"no record": {
			want: map[Kind]Status{KindRecord: Missing, KindSource: NotChecked}, words: "no record of promoter@example.com",
		},
		"a stranger's record": {
			prepare: func(w *world, _ *Verifier) { w.record("eve@example.com", w.statement(publicName, nil)) },
			want:    map[Kind]Status{KindRecord: Missing, KindSource: NotChecked}, words: `is no proof: its signer is "eve@example.com"`,
		},
		"another sigstore": {
			prepare: func(w *world, _ *Verifier) {
				w.sigstore = sigstoretest.New(w.t)
				w.record(recorder, w.statement(publicName, nil))
			},
			want: map[Kind]Status{KindRecord: Missing, KindSource: NotChecked}, words: "is no proof: no trusted root",
		},
		"a tampered record": {
			prepare: func(w *world, _ *Verifier) { w.record(recorder, w.statement(publicName, nil), sigstoretest.Tampered()) },
			want:    map[Kind]Status{KindRecord: Invalid, KindSource: NotChecked}, words: "no record of promoter@example.com verifies",
		},
		"a record for another name": {
			prepare: func(w *world, _ *Verifier) { w.record(recorder, w.statement("registry.example.com/pear", nil)) },
			want:    map[Kind]Status{KindRecord: Invalid, KindSource: NotChecked}, words: `is for "registry.example.com/pear"`,
		},
		"an unknown commit": {
			prepare: func(w *world, _ *Verifier) {
				w.record(recorder, w.statement(publicName, map[string]any{
					"manifest": map[string]any{"name": "k8s/images/orchard/images.yaml", "digest": map[string]string{"gitCommit": commitA}},
				}))
			},
			want: map[Kind]Status{KindManifest: Missing}, words: "commit " + commitA + " is not in this clone",
		},
		"a commit without it": {
			prepare: func(w *world, _ *Verifier) {
				w.record(recorder, w.statement(publicName, map[string]any{
					"manifest": map[string]any{"name": "k8s/images/orchard/images.yaml", "digest": map[string]string{"gitCommit": w.manifests()}},
				}))
			},
			want: map[Kind]Status{KindManifest: Invalid}, words: "does not want the digest",
		},
		"another source": {
			prepare: func(w *world, _ *Verifier) {
				w.record(recorder, w.statement(publicName, map[string]any{"srcRef": nil, "source": map[string]any{
					"name": "evil.example.com/apple", "digest": map[string]string{"sha256": strings.TrimPrefix(w.apple.Digest, "sha256:")},
				}}))
			},
			want: map[Kind]Status{KindSource: Invalid}, words: "the record names evil.example.com/apple@",
		},
		"another builder": {
			prepare: func(w *world, _ *Verifier) { w.record(recorder, w.statement(publicName, nil)) }, build: "https://evil.example/b",
			want: map[Kind]Status{KindProvenance: Invalid}, words: "not satisfied",
		},
		"no signature": {
			prepare: func(w *world, v *Verifier) {
				w.record(recorder, w.statement(publicName, nil))
				v.RequireSignature = true
			},
			want: map[Kind]Status{KindSignature: Missing}, words: "no signature of promoter@example.com",
		},
		"written later": {
			prepare: func(w *world, _ *Verifier) {
				w.record(recorder, w.statement(publicName, map[string]any{"srcRef": nil, "source": nil, "manifest": nil}))
			},
			words: "(current; the record names no manifest)",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.build("staging/apple", map[bool]string{true: goodBuilder, false: c.build}[c.build == ""])
			v := w.verifier()
			if c.prepare != nil {
				c.prepare(w, v)
			}
			want := intact()
			for k, s := range c.want {
				want[k] = s
			}
			chain := w.verify(v, publicName+":v1")[0]
			if diff := cmp.Diff(want, statuses(chain)); diff != "" {
				t.Errorf("statuses (-want +got):\n%s\n%+v", diff, chain)
			}
			verdict := Broken
			if len(c.want) == 0 {
				verdict = Intact
			}
			if chain.Verdict != verdict {
				t.Errorf("got verdict %q, want %q: %+v", chain.Verdict, verdict, chain)
			}
			if text := fmt.Sprint(chain.Links, chain.Notes); !strings.Contains(text, c.words) {
				t.Errorf("got %s, want %q in it", text, c.words)
			}
		})
	}
}

func TestNotWantedAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(recorder, w.statement(publicName, nil))
	w.manifests()
	chain := w.verify(w.verifier(), publicName+"@"+w.apple.Digest)[0]
	want := Link{KindManifest, Missing, "not wanted any more: no manifest wants the digest in " + w.Host + "/prod/apple"}
	if !slices.Contains(chain.Links, want) || chain.Verdict != Broken {
		t.Errorf("got %+v, want the link %+v", chain, want)
	}
}

func TestMovedTag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(recorder, w.statement(publicName, nil))
	w.build("staging/apple", goodBuilder)
	w.Push(t, "prod/apple", w.apple, "latest")
	chain := w.verify(w.verifier(), publicName+":latest")[0]
	if got := statuses(chain)[KindManifest]; got != Invalid {
		t.Errorf("a tag that the manifests do not want: got %q, want %q: %+v", got, Invalid, chain)
	}
}

func TestReferencesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Server.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Repo("prod/pear"))
	for reference, want := range map[string]string{
		w.Host + "/prod/apple:v9":                    w.Host + "/prod/apple:v9 does not exist",
		w.Host + "/prod/apple@sha256:" + otherSHA:    w.Host + "/prod/apple@sha256:" + otherSHA + " does not exist",
		w.Host + "/prod/apple:v1@sha256:" + otherSHA: w.Host + "/prod/apple:v1 has the digest " + w.apple.Digest,
		w.Host + "/prod/pear:v1":                     "reading " + w.Host + "/prod/pear:v1: ",
	} {
		chain := w.verify(w.verifier(), reference)[0]
		if len(chain.Links) != 1 || chain.Links[0].Status != Missing || !strings.HasPrefix(chain.Links[0].Detail, want) || chain.Verdict != Broken {
			t.Errorf("%s: got %+v, want one missing link with %q", reference, chain, want)
		}
	}
}

// TestSourceHasLostTheImage holds that evidence that was carried to the destination counts.
func TestSourceHasLostTheImage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		carried bool
		want    Status
	}{"carried": {true, OK}, "not carried": {false, Invalid}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.record(recorder, w.statement(publicName, nil))
			w.DeleteManifest(t, "staging/apple", w.apple.Digest)
			if c.carried {
				w.build("prod/apple", goodBuilder)
			}
			chain := w.verify(w.verifier(), publicName+":v1")[0]
			if got := statuses(chain)[KindProvenance]; got != c.want {
				t.Errorf("got %q, want %q: %+v", got, c.want, chain)
			}
		})
	}
}

// TestRequests holds the numbers in docs/verify.md.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(recorder, w.statement(publicName, nil))
	v := w.verifier()
	v.Scope.policies = nil
	w.verify(v, w.Host+"/prod/apple@"+w.apple.Digest)
	w.Reset()
	const want = 5 // the image, referrers, cosign's tag, the record's manifest, its bundle
	if chain := w.verify(v, w.Host+"/prod/apple@"+w.apple.Digest)[0]; chain.Verdict != Intact {
		t.Errorf("got %+v, want an intact chain", chain)
	}
	if got := len(w.Server.Requests()); got != want {
		t.Errorf("got %d requests, want %d:\n%s", got, want, w.Summary())
	}
}

// TestManyImages holds that each image costs a fixed number of requests.
func TestManyImages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 150
	images := ""
	for i := range n {
		o := registrytest.Image(100+i, 1)
		w.apple = o
		w.Push(t, "prod/apple", o)
		images += fmt.Sprintf("    %q: [v%d]\n", o.Digest, i)
		w.record(recorder, w.statement(publicName, map[string]any{"manifest": nil}))
	}
	write(t, w.dir, map[string]string{"k8s/images/orchard/images.yaml": "- name: apple\n  dmap:\n" + images})
	v := w.verifier()
	v.Scope.policies = nil
	subjects := v.Scope.All(v.Scope.wanted)
	w.Reset()
	chains, err := v.Verify(t.Context(), subjects, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if len(chains) != n || Bad(chains) {
		t.Errorf("got %d chains, bad %t, want %d intact ones: %+v", len(chains), Bad(chains), n, chains[0])
	}
	const each, more = 5, 5 // handshakes
	if got := len(w.Server.Requests()); got > each*n+more {
		t.Errorf("got %d requests, want %d at most", got, each*n+more)
	}
}

// TestRetaggedImage follows a chain to a retag entry without a digest: the manifest wants
// what the source tag points to.
func TestRetaggedImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	images := "- name: apple\n  retag:\n  - {src_build_tag: v1, src_ref: r, tag: v2}\n  - {src_build_tag: v9, src_ref: r, tag: v9}\n"
	w.commit = write(t, w.dir, map[string]string{"k8s/images/orchard/images.yaml": images})
	w.record(recorder, w.statement(publicName, nil))
	w.Push(t, "prod/apple", w.apple, "v2")
	v := w.verifier()
	tags := Tags(t.Context(), w.client, plan.Unpinned(v.Scope.set))
	v.Scope = NewScope(v.Scope.set, plan.Desired(v.Scope.set, tags))
	v.Scope.policies = nil
	chain := w.verify(v, publicName+":v2")[0]
	want := map[Kind]Status{KindRecord: OK, KindManifest: OK, KindSource: OK, KindSignature: NotChecked, KindProvenance: NotChecked}
	if diff := cmp.Diff(want, statuses(chain)); diff != "" {
		t.Errorf("statuses (-want +got):\n%s\n%+v", diff, chain)
	}
	if chain := w.verify(v, publicName+":v1")[0]; statuses(chain)[KindManifest] != Invalid {
		t.Errorf("a tag that is only the source's: got %+v, want an invalid manifest", chain)
	}
}

func TestSignedImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(recorder, w.statement(publicName, nil))
	w.build("staging/apple", goodBuilder)
	sign := func(by string) {
		layer := w.sigstore.CosignLayer(sigstoretest.Identity{SAN: by, Issuer: issuer}, registrytest.Claim(w.apple.Digest))
		sigstoretest.PutTag(t, w.Server, "prod/apple", w.apple.Digest, ".sig", layer)
	}
	v := w.verifier()
	v.RequireSignature = true
	for _, c := range []struct {
		by   string
		want Status
	}{{"eve@example.com", Missing}, {recorder, OK}} {
		sign(c.by)
		chain := w.verify(v, publicName+":v1")[0]
		if got := statuses(chain)[KindSignature]; got != c.want {
			t.Errorf("signed by %s: got %q, want %q: %+v", c.by, got, c.want, chain)
		}
	}
}

func TestVerifyIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	subjects := []Subject{{Repository: image.NewRepository(w.Host, "prod/apple"), Digest: image.Hash(w.apple.Digest)}}
	if _, err := w.verifier().Verify(ctx, subjects, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
