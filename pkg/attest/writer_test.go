package attest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// Everything is written once: a second run finds it, with the referrers API and without.
func TestWrittenOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]registrytest.Option{"referrers API": nil, "fallback tag": {registrytest.NoReferrers()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, opts...)
			img := registrytest.Image(1, 1)
			r.promote(img, "v1", "v1.0")
			want := []string{"record of " + short(img.Digest) + " done", "signature of " + short(img.Digest) + " done", "summary of " + short(img.Digest) + " done"}
			items, warnings := r.run(t.Context())
			if diff := cmp.Diff(want, outcomes(items)); diff != "" || len(warnings) > 0 {
				t.Fatalf("got warnings %q (-want +got)\n%s", warnings, diff)
			}
			if n := len(r.statements(img.Digest, attest.RecordType)); n != 1 {
				t.Errorf("got %d records, want one", n)
			}
			if got := r.summary(img.Digest); got.Result != "PASSED" || got.Levels[0] != "SLSA_BUILD_LEVEL_UNEVALUATED" {
				t.Errorf("got %+v, want a summary without a policy", got)
			}
			r.server.Reset()
			r.o.Time = when.Add(time.Hour)
			r.o.Job = attest.Job{Name: "another"}
			items, _ = r.run(t.Context())
			if len(items) > 0 {
				t.Errorf("got %q from a second run, want nothing to write", outcomes(items))
			}
			if writes := r.server.Writes(); len(writes) > 0 {
				t.Errorf("got writes %v of the second run, want none", writes)
			}
		})
	}
}

// The referrer has the form that cosign writes.
func TestReferrerForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	img := registrytest.Image(1, 1)
	r.promote(img)
	r.o.Summaries = false
	r.run(t.Context())
	found, err := r.client().Referrers(t.Context(), r.repo, image.Hash(img.Digest), func(string) bool { return true })
	if err != nil || len(found) != 1 {
		t.Fatalf("got referrers %v, %v, want one: images without a tag are not signed", found, err)
	}
	raw, mediaType, _ := r.server.Manifest(t, "prod/apple", found[0].Digest.String())
	var m struct {
		ArtifactType    string
		Config, Subject struct{ MediaType, Digest string }
		Layers          []struct{ MediaType string }
		Annotations     map[string]string
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	bundle := registrytest.SignatureBundle
	got := []string{mediaType, m.ArtifactType, m.Config.MediaType, m.Config.Digest, m.Subject.Digest, m.Subject.MediaType}
	want := []string{registrytest.OCIManifest, bundle, "application/vnd.oci.empty.v1+json", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", img.Digest, img.MediaType}
	if diff := cmp.Diff(want, got); diff != "" || len(m.Layers) != 1 || m.Layers[0].MediaType != bundle {
		t.Errorf("got %s (-want +got)\n%s", raw, diff)
	}
	if diff := cmp.Diff(map[string]string{
		"org.opencontainers.image.created": "2026-11-02T06:30:00Z", "dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": attest.RecordType,
	}, m.Annotations); diff != "" {
		t.Errorf("annotations: (-want +got)\n%s", diff)
	}
}

// Evidence of somebody else, and about something else, does not count.
func TestStrangersDoNotCount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	img := registrytest.Image(1, 1)
	r.promote(img, "v1")
	record := attest.Record{Name: public, Digest: image.Hash(img.Digest), Source: r.source, Tags: []string{"v1"}, Time: when, Builder: r.o.Builder}
	attach := func(id sigstoretest.Identity, change func(*attest.Record)) {
		t.Helper()
		other := record
		change(&other)
		raw, err := other.Statement()
		if err != nil {
			t.Fatal(err)
		}
		sigstoretest.Attach(t, r.server, "prod/apple", img, r.store.Bundle(id, raw))
	}
	planned := func(want int) {
		t.Helper()
		items, _ := r.run(t.Context(), func(o *attest.Options) { o.DryRun, o.Summaries, o.Signatures = true, false, false })
		if len(items) != want {
			t.Errorf("got %q, want %d to write", outcomes(items), want)
		}
	}
	planned(1)
	attach(sigstoretest.Identity{SAN: "somebody@example.com", Issuer: owner.Issuer}, func(*attest.Record) {})
	attach(sigstoretest.Identity{SAN: owner.SAN, Issuer: "https://other.example.com"}, func(*attest.Record) {})
	attach(owner, func(o *attest.Record) { o.Name = "registry.example.com/orchard/pear" })
	attach(owner, func(o *attest.Record) { o.Tags = nil })
	attach(owner, func(o *attest.Record) { o.Source = image.NewRepository("other.example.com", "apple") })
	planned(1)
	attach(owner, func(o *attest.Record) { o.Tags = []string{"v0", "v1"} })
	planned(0)
}

// A summary is written again if its policy, its evidence or its verdict has changed.
func TestSummaryIsSuperseded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	img := registrytest.Image(1, 1)
	r.promote(img, "v1")
	r.o.Records, r.o.Signatures = false, false
	n := 0
	step := func(what string, want int, results ...provenance.Result) {
		t.Helper()
		r.o.Time = r.o.Time.Add(time.Minute)
		r.o.Judge = judges{img.Digest: results}
		items, _ := r.run(t.Context())
		n += want
		if got := len(r.statements(img.Digest, attest.SummaryType)); len(items) != want || got != n {
			t.Errorf("%s: got %q and %d summaries, want %d new ones and %d in all", what, outcomes(items), got, want, n)
		}
	}
	step("first", 1, good(3, "x"))
	step("again", 0, good(3, "x"))
	step("more evidence", 1, good(3, "x", "y"))
	step("another verdict", 1, bad("x", "y"))
	step("the first one again", 1, good(3, "x"))
	step("another level", 1, good(2, "x"))
	step("another policy", 1, good(2, "x"), good(3, "x"))
	step("no policy", 1)
	step("no policy again", 0)
	r.o.Verifier.ID = "https://other.example.com"
	step("another verifier", 1)
}

// An index has summaries for its platforms too, but not for attestations of BuildKit.
func TestSummariesOfPlatforms(t *testing.T) {
	t.Parallel()
	amd, arm := registrytest.Image(1, 1, registrytest.Platform("linux/amd64")), registrytest.Image(2, 1, registrytest.Platform("linux/arm64"))
	kit := registrytest.Attestation(3, amd)
	index, other := registrytest.Index([]registrytest.Object{amd, arm, kit}), registrytest.Index([]registrytest.Object{arm})
	own := func(r provenance.Result, platforms map[string]provenance.Result) []provenance.Result {
		for digest, p := range platforms {
			r.Platforms = append(r.Platforms, provenance.PlatformResult{Digest: image.Hash(digest), Result: p})
		}
		return []provenance.Result{r}
	}
	const unevaluated = "SLSA_BUILD_LEVEL_UNEVALUATED"
	for name, tc := range map[string]struct {
		judge    judges
		promoted []registrytest.Object
		want     map[string]string // level by digest
	}{
		"no policy": {nil, []registrytest.Object{index}, map[string]string{index.Digest: unevaluated, amd.Digest: unevaluated, arm.Digest: unevaluated}},
		"good and bad": {
			judges{index.Digest: own(good(3, "x"), map[string]provenance.Result{amd.Digest: good(2, "y"), arm.Digest: bad()})}, []registrytest.Object{index},
			map[string]string{index.Digest: "SLSA_BUILD_LEVEL_3", amd.Digest: "SLSA_BUILD_LEVEL_2", arm.Digest: unevaluated},
		},
		"failed index": {
			judges{index.Digest: own(bad(), map[string]provenance.Result{amd.Digest: good(2, "y"), arm.Digest: bad()})}, []registrytest.Object{index},
			map[string]string{index.Digest: "FAILED", amd.Digest: "SLSA_BUILD_LEVEL_2", arm.Digest: "FAILED"},
		},
		"promoted itself": {
			judges{arm.Digest: own(good(3, "z"), nil)}, []registrytest.Object{index, arm},
			map[string]string{index.Digest: unevaluated, amd.Digest: unevaluated, arm.Digest: "SLSA_BUILD_LEVEL_3"},
		},
		"in two indexes, one failed": {
			judges{
				index.Digest: own(good(3), map[string]provenance.Result{amd.Digest: good(3), arm.Digest: bad()}),
				other.Digest: own(bad(), map[string]provenance.Result{arm.Digest: bad()}),
			}, []registrytest.Object{index, other},
			map[string]string{index.Digest: "SLSA_BUILD_LEVEL_3", other.Digest: "FAILED", amd.Digest: "SLSA_BUILD_LEVEL_3", arm.Digest: "FAILED"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.o.Records, r.o.Signatures = false, false
			if tc.judge != nil {
				r.o.Judge = tc.judge
			}
			for _, o := range tc.promoted {
				r.promote(o)
			}
			items, warnings := r.run(t.Context())
			if len(items) != len(tc.want) || len(warnings) > 0 {
				t.Errorf("got %q, %q, want %d summaries", outcomes(items), warnings, len(tc.want))
			}
			for digest, level := range tc.want {
				if got := r.summary(digest); got.Levels[0] != level {
					t.Errorf("%s: got %+v, want level %s", short(digest), got, level)
				}
			}
			r.server.Reset()
			if again, _ := r.run(t.Context()); len(again) > 0 || len(r.server.Writes()) > 0 {
				t.Errorf("got %q from a second run, want nothing", outcomes(again))
			}
		})
	}
}

// Without a commit there is no summary, since nobody could look up the policy.
func TestNoSummaryWithoutCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.promote(registrytest.Image(1, 1), "v1")
	r.o.Origin, r.o.Records, r.o.Signatures = attest.Origin{}, false, false
	items, warnings := r.run(t.Context())
	if len(items) > 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "no verification summaries") {
		t.Errorf("got %q and warnings %q, want only a warning", outcomes(items), warnings)
	}
}

// A piece that cannot be written has failed, and stops no other.
func TestFailures(t *testing.T) {
	t.Parallel()
	img := registrytest.Image(1, 1)
	for name, tc := range map[string]struct {
		change func(*testing.T, *rig)
		want   string
	}{
		"certificate refused": {func(t *testing.T, r *rig) {
			t.Helper()
			o := keyless(r.store, owner)
			o.Token = token(jwt(t, `{"iss":"https://i","sub":"x"}`)+"x", nil)
			r.o.Signer = newSigner(t, o)
		}, "getting a certificate"},
		"log refuses": {func(t *testing.T, r *rig) {
			t.Helper()
			o := keyless(r.store, owner)
			o.Rekor = o.Timestamp
			r.o.Signer = newSigner(t, o)
		}, "signing: "},
		"registry refuses": {func(_ *testing.T, r *rig) {
			r.server.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(registrytest.ManifestPut))
		}, "putting manifest: 403 DENIED"},
		"registry loses it": {func(_ *testing.T, r *rig) {
			r.server.Fault(registrytest.Status(http.StatusCreated, registrytest.Header("OCI-Subject", img.Digest), ""), registrytest.Is(registrytest.ManifestPut))
		}, "the registry does not have it"},
		"unreadable": {func(_ *testing.T, r *rig) {
			r.server.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(registrytest.Referrers))
		}, "reading what is there before writing the record"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.promote(img, "v1")
			r.o.Summaries, r.o.Signatures = false, false
			tc.change(t, r)
			items, _ := r.run(t.Context())
			if got := outcomes(items); len(got) != 1 || !strings.Contains(got[0], " failed: ") || !strings.Contains(got[0], tc.want) || items[0].Retryable {
				t.Errorf("got %q, want a failure with %q", got, tc.want)
			}
		})
	}
}

func TestSkipped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.promote(registrytest.Image(1, 1), "v1")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	r.server.Reset()
	items, _ := r.run(stopped)
	for _, text := range outcomes(items) {
		if !strings.HasSuffix(text, "skipped: interrupted") {
			t.Errorf("after an interrupt: got %q, want it skipped", text)
		}
	}
	w := attest.NewWriter(func() attest.Options {
		o := r.o
		o.Client, o.Trust = r.client(), r.trust
		o.Reader = evidence.NewReader(evidence.Direct(o.Client), r.trust)
		return o
	}())
	e := w.Plan(t.Context(), r.subjects)
	e.Run(t.Context(), []attest.Subject{}, func() {})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for _, text := range outcomes(e.Items()) {
		if !strings.HasSuffix(text, "skipped: not written: the image was not promoted") {
			t.Errorf("without the image: got %q, want it skipped", text)
		}
	}
	if writes := r.server.Writes(); len(writes) > 0 || len(items) != 3 {
		t.Errorf("got writes %v and %d items, want none and 3", writes, len(items))
	}
}

// The signature names the image as production does, for each image below the index.
func TestSignatures(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"keyless": "", "key": "p256"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if kind != "" {
				key := registrytest.NewKey(t, kind)
				r.o.Signer = newSigner(t, attest.SignerOptions{Key: key.Private(), Now: time.Now})
				trust, err := evidence.NewTrust(evidence.TrustOptions{Keys: [][]byte{key.Public()}})
				if err != nil {
					t.Fatal(err)
				}
				r.trust = trust
			}
			amd, arm := registrytest.Image(1, 1), registrytest.Image(2, 1)
			nested := registrytest.Index([]registrytest.Object{arm})
			index := registrytest.Index([]registrytest.Object{amd, nested})
			r.promote(index, "v1")
			r.o.Records, r.o.Summaries = false, false
			// Somebody has signed it before: that stays.
			stranger := registrytest.NewKey(t, "p256").Layer(registrytest.Claim(index.Digest))
			sigstoretest.PutTag(t, r.server, "prod/apple", index.Digest, ".sig", stranger)
			items, _ := r.run(t.Context())
			if got := outcomes(items); len(got) != 1 || !strings.HasSuffix(got[0], "done") {
				t.Fatalf("got %q, want one signature", got)
			}
			for _, o := range []registrytest.Object{index, nested, amd, arm} {
				ours := 0
				for s, err := range r.client().Signatures(t.Context(), r.repo, image.Hash(o.Digest)) {
					if err != nil {
						t.Fatal(err)
					}
					v, err := r.trust.VerifyImage(t.Context(), s, image.Hash(o.Digest))
					if err != nil {
						t.Fatal(err)
					}
					if v.Invalid == "" && strings.Contains(string(s.Payload), `"docker-reference":"`+public+`"`) {
						ours++
					}
				}
				if ours != 1 {
					t.Errorf("%s: got %d signatures, want one", short(o.Digest), ours)
				}
			}
			raw, _, _ := r.server.Manifest(t, "prod/apple", sigstoretest.Tag(index.Digest, ".sig"))
			if !strings.Contains(string(raw), stranger.Annotations["dev.cosignproject.cosign/signature"]) {
				t.Errorf("got %s, want the signature that was there, too", raw)
			}
			if missing := r.server.Complete(t, "prod/apple", registry.DigestOf(raw).String()); missing != nil {
				t.Errorf("got missing content %v, want none", missing)
			}
			r.server.Reset()
			if again, _ := r.run(t.Context()); len(again) > 0 || len(r.server.Writes()) > 0 {
				t.Errorf("got %q from a second run, want nothing", outcomes(again))
			}
		})
	}
}

// Summaries may have a signer of their own, by which they are looked for.
func TestSummarySigner(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	img := registrytest.Image(1, 1)
	r.promote(img)
	signed := func(predicateType string, want ...string) {
		t.Helper()
		found, err := evidence.NewReader(evidence.Direct(r.client()), r.trust).Attestations(t.Context(), r.repo, image.Hash(img.Digest), predicateType)
		got := []string{}
		for _, a := range found {
			got = append(got, a.Signer.SAN)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", predicateType, err, diff)
		}
	}
	r.run(t.Context())
	auditor := sigstoretest.Identity{SAN: "summaries@example.com", Issuer: owner.Issuer}
	r.o.SummarySigner = newSigner(t, keyless(r.store, auditor))
	for range 2 {
		r.run(t.Context())
		signed(attest.RecordType, owner.SAN)
		signed(attest.SummaryType, owner.SAN, auditor.SAN)
	}
}
