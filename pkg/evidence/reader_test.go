package evidence_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

const repo = "staging/apple"

// orchard is a registry with an image, and a sigstore that the reader trusts.
type orchard struct {
	*registrytest.Server
	*sigstoretest.Sigstore
	apple  registrytest.Object
	key    *registrytest.Key
	reader *evidence.Reader
}

func newOrchard(t *testing.T, opts ...registrytest.Option) *orchard {
	t.Helper()
	return newOrchardOf(t, registrytest.Image(1, 1), opts...)
}

func newOrchardOf(t *testing.T, apple registrytest.Object, opts ...registrytest.Option) *orchard {
	t.Helper()
	o := &orchard{Server: registrytest.New(t, opts...), Sigstore: sigstoretest.New(t), apple: apple, key: registrytest.NewKey(t, "p256")}
	o.Push(t, repo, apple)
	client, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	o.reader = evidence.NewReader(evidence.Direct(client), trust(t, evidence.TrustOptions{Roots: [][]byte{o.TrustedRoot()}, Keys: [][]byte{o.key.Public()}}))
	return o
}

// statement returns provenance of the image.
func (o *orchard) statement() []byte { return registrytest.Statement(slsa, o.apple.Digest) }

// gather reads the evidence about the image.
func (o *orchard) gather(t *testing.T) *provenance.Evidence {
	t.Helper()
	return o.reader.Gather(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest))
}

// line describes an attestation for comparisons.
func line(o *orchard, a provenance.Attestation) string {
	kind := "nothing"
	if a.Statement != nil {
		kind = a.Statement.PredicateType
	}
	state := map[provenance.State]string{
		provenance.Verified: "verified", provenance.Unsigned: "unsigned", provenance.Unverifiable: "unverifiable", provenance.Failed: "failed",
	}[a.State]
	by := a.Signer.SAN
	if a.Signer.Key != "" {
		by = "key"
	}
	return strings.Join([]string{strings.TrimPrefix(a.URI, o.Host+"/"), a.Digest.String(), state, by, kind}, " ")
}

func lines(o *orchard, e *provenance.Evidence) []string {
	var out []string
	for _, a := range e.Attestations {
		out = append(out, line(o, a))
	}
	return out
}

// TestGather reads attestations in all forms.
func TestGather(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		opts []registrytest.Option
		put  func(t *testing.T, o *orchard) []string
	}{
		"nothing": {nil, func(*testing.T, *orchard) []string { return nil }},
		"referrer": {nil, func(t *testing.T, o *orchard) []string {
			b := o.Bundle(workflow, o.statement())
			sigstoretest.Attach(t, o.Server, repo, o.apple, b)
			return []string{referred(o, b) + " verified " + workflow.SAN + " " + slsa}
		}},
		"referrer without a referrers API": {[]registrytest.Option{registrytest.Distribution()}, func(t *testing.T, o *orchard) []string {
			b := o.Bundle(workflow, o.statement())
			sigstoretest.AttachTag(t, o.Server, repo, o.apple, b)
			return []string{referred(o, b) + " verified " + workflow.SAN + " " + slsa}
		}},
		"referrer signed by key": {nil, func(t *testing.T, o *orchard) []string {
			b := o.Bundle(workflow, o.statement(), sigstoretest.SignedBy(o.key))
			sigstoretest.Attach(t, o.Server, repo, o.apple, b)
			return []string{referred(o, b) + " verified key " + slsa}
		}},
		"referrer of a stranger": {nil, func(t *testing.T, o *orchard) []string {
			b := sigstoretest.New(t).Bundle(workflow, o.statement())
			sigstoretest.Attach(t, o.Server, repo, o.apple, b)
			return []string{referred(o, b) + " unverifiable  " + slsa}
		}},
		"several layers": {nil, func(t *testing.T, o *orchard) []string {
			first, second := o.Bundle(workflow, o.statement()), o.Bundle(account, registrytest.Statement("https://example.com/type", o.apple.Digest))
			m := registrytest.Attached([]registrytest.Blob{
				registrytest.NewBlob(registrytest.SignatureBundle, first), registrytest.NewBlob("text/plain", []byte("apple")),
				registrytest.NewBlob(registrytest.SignatureBundle, second),
			}, registrytest.Subject(o.apple), registrytest.ArtifactType("text/plain"))
			o.Push(t, repo, m)
			return []string{
				repo + "@" + m.Digest + " " + digestOf(first) + " verified " + workflow.SAN + " " + slsa,
				repo + "@" + m.Digest + " " + digestOf(second) + " verified " + account.SAN + " https://example.com/type",
			}
		}},
		"under cosign's tag": {nil, func(t *testing.T, o *orchard) []string {
			s := o.statement()
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".att", o.AttestationLayer(workflow, s))
			return []string{tagged(o) + digestOf(s) + " verified " + workflow.SAN + " " + slsa}
		}},
		"under cosign's tag, signed by key": {nil, func(t *testing.T, o *orchard) []string {
			s := o.statement()
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".att", o.AttestationLayer(workflow, s, sigstoretest.SignedBy(o.key)))
			return []string{tagged(o) + digestOf(s) + " verified key " + slsa}
		}},
		"under cosign's tag, unsigned": {nil, func(t *testing.T, o *orchard) []string {
			s := o.statement()
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".att", sigstoretest.UnsignedLayer(s))
			return []string{tagged(o) + digestOf(s) + " unsigned  " + slsa}
		}},
		"under cosign's tag, of another image": {nil, func(t *testing.T, o *orchard) []string {
			s := registrytest.Statement(slsa, digestB)
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".att", o.AttestationLayer(workflow, s))
			return []string{tagged(o) + digestOf(s) + " failed  " + slsa}
		}},
		"in another repository": {nil, func(t *testing.T, o *orchard) []string {
			o.Push(t, "staging/pear", o.apple)
			sigstoretest.Attach(t, o.Server, "staging/pear", o.apple, o.Bundle(workflow, o.statement()))
			sigstoretest.PutTag(t, o.Server, "staging/pear", o.apple.Digest, ".att", o.AttestationLayer(workflow, o.statement()))
			return nil
		}},
		"other referrers": {nil, func(t *testing.T, o *orchard) []string {
			o.Push(t, repo, registrytest.Artifact(1, "application/spdx+json", registrytest.Subject(o.apple)))
			return nil
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchard(t, tc.opts...)
			want := tc.put(t, o)
			e := o.gather(t)
			if e.Err != nil || e.Notes != nil {
				t.Errorf("got error %v and notes %q, want none", e.Err, e.Notes)
			}
			slices.Sort(want) // digests of bundles are random
			if diff := cmp.Diff(want, lines(o, e)); diff != "" {
				t.Errorf("attestations (-want +got):\n%s\n%+v", diff, e.Attestations)
			}
		})
	}
}

func digestOf(raw []byte) string { return registry.DigestOf(raw).String() }

// referred begins the line of a bundle that refers to the image.
func referred(o *orchard, bundle []byte) string {
	return repo + "@" + sigstoretest.Referrer(o.apple, bundle).Digest + " " + digestOf(bundle)
}

// tagged begins the line of an attestation under cosign's tag.
func tagged(o *orchard) string { return repo + ":" + sigstoretest.Tag(o.apple.Digest, ".att") + " " }

// TestTaggedAttestations verifies what annotations under cosign's tag say, by both kinds of roots.
func TestTaggedAttestations(t *testing.T) {
	t.Parallel()
	type opts = []sigstoretest.Option
	edit := func(key string, value func(string) string) func(l *registrytest.Blob) {
		return func(l *registrytest.Blob) { l.Annotations[key] = value(l.Annotations[key]) }
	}
	const certificate, entry, stamp = "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle", "dev.sigstore.cosign/rfc3161timestamp"
	bad := func(string) string { return "apple" }
	tests := map[string]struct {
		opts   opts
		edit   func(l *registrytest.Blob)
		state  provenance.State
		reason string
	}{
		"whole":                {nil, nil, provenance.Verified, ""},
		"without a timestamp":  {opts{sigstoretest.WithoutTimestamp()}, nil, provenance.Verified, ""},
		"without a log entry":  {opts{sigstoretest.WithoutLog()}, nil, provenance.Failed, "log entries"},
		"without an SCT":       {opts{sigstoretest.WithoutSCT()}, nil, provenance.Failed, "SCT"},
		"log entry of another": {opts{sigstoretest.LogEntryFor(registrytest.Statement(slsa, digestB))}, nil, provenance.Failed, "transparency log"},
		"tampered":             {opts{sigstoretest.Tampered()}, nil, provenance.Failed, "hash"},
		"two signatures":       {opts{sigstoretest.Signatures(2)}, nil, provenance.Failed, "2 signatures"},
		"another type":         {opts{sigstoretest.PayloadType("text/plain")}, nil, provenance.Failed, "has the type"},
		"no certificate":       {nil, edit(certificate, func(string) string { return "" }), provenance.Unverifiable, "not made with the key"},
		"bad certificate":      {nil, edit(certificate, bad), provenance.Failed, certificate},
		"bad log entry":        {nil, edit(entry, bad), provenance.Failed, entry},
		"log entry of no log":  {nil, edit(entry, func(s string) string { return strings.Replace(s, `"logID":"`, `"logID":"x`, 1) }), provenance.Failed, entry},
		"log entry not signed": {nil, edit(entry, func(s string) string { return strings.Replace(s, `"SignedEntryTimestamp":"`, `"x":"`, 1) }), provenance.Failed, entry},
		"later log entry":      {nil, edit(entry, func(s string) string { return strings.Replace(s, `"integratedTime":1`, `"integratedTime":2`, 1) }), provenance.Failed, "log entries"},
		"a key twice":          {nil, edit(entry, func(s string) string { return strings.Replace(s, `"Payload":`, `"payload":{},"Payload":`, 1) }), provenance.Failed, "is repeated"},
		"bad timestamp":        {nil, edit(stamp, bad), provenance.Failed, stamp},
		"not an envelope":      {nil, func(l *registrytest.Blob) { *l = registrytest.NewBlob(l.MediaType, []byte("apple")) }, provenance.Failed, "parsing the envelope"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchard(t)
			l := o.AttestationLayer(workflow, o.statement(), tc.opts...)
			if tc.edit != nil {
				tc.edit(&l)
			}
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".att", l)
			e := o.gather(t)
			if len(e.Attestations) != 1 || e.Err != nil {
				t.Fatalf("got %d attestations, error %v, want 1", len(e.Attestations), e.Err)
			}
			judged(t, name, e.Attestations[0], tc.state, tc.reason)
		})
	}
}

// TestGatherPlatforms reads the attestations of platforms, and only of platforms.
func TestGatherPlatforms(t *testing.T) {
	t.Parallel()
	amd, arm := registrytest.Image(1, 1), registrytest.Image(2, 1, registrytest.Platform("linux/arm64"))
	nested := registrytest.Index([]registrytest.Object{registrytest.Image(3, 1)})
	buildKit := registrytest.Attestation(1, amd)
	annotated := registrytest.Image(4, 1, registrytest.Platform("linux/s390x")) // it would run
	annotated.Annotations = buildKit.Annotations
	unknown := registrytest.Image(5, 1, registrytest.Platform("unknown/unknown"))
	other := registrytest.Attestation(6, arm)
	other.Annotations["vnd.docker.reference.type"] = "something-else"
	o := newOrchardOf(t, registrytest.Index([]registrytest.Object{amd, arm, nested, buildKit, annotated, unknown, other}))
	b := o.Bundle(workflow, registrytest.Statement(slsa, arm.Digest))
	sigstoretest.Attach(t, o.Server, repo, arm, b)
	sigstoretest.Attach(t, o.Server, repo, buildKit, b)
	e := o.gather(t)
	if e.Err != nil || !e.Index || len(e.Attestations) != 0 {
		t.Errorf("got error %v, index %v, attestations %+v, want an index without attestations", e.Err, e.Index, e.Attestations)
	}
	type platform struct {
		Digest       string
		Index        bool
		Attestations int
	}
	var got []platform
	for _, p := range e.Platforms {
		got = append(got, platform{p.Digest.String(), p.Index, len(p.Attestations)})
	}
	want := []platform{
		{amd.Digest, false, 0}, {arm.Digest, false, 1}, {nested.Digest, true, 0}, {annotated.Digest, false, 0}, {unknown.Digest, false, 0}, {other.Digest, false, 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

// TestGatherUnread does not treat what it could not read as absent.
func TestGatherUnread(t *testing.T) {
	t.Parallel()
	ref := func(o *orchard, suffix string) registrytest.Match {
		return registrytest.Ref(sigstoretest.Tag(o.apple.Digest, suffix))
	}
	api := registrytest.Is(registrytest.Referrers)
	tests := map[string]struct {
		opts  []registrytest.Option
		when  func(o *orchard) registrytest.Match
		codes []int
		want  string // in the error; empty: there is none
	}{
		"no referrers API":   {nil, func(*orchard) registrytest.Match { return api }, []int{400, 404, 405, 406}, ""},
		"referrers refused":  {nil, func(*orchard) registrytest.Match { return api }, []int{401, 403, 429, 500, 503}, "listing referrers"},
		"fallback tag":       {[]registrytest.Option{registrytest.NoReferrers()}, func(o *orchard) registrytest.Match { return ref(o, "") }, []int{403, 500}, "reading the referrers tag"},
		"no attestation tag": {nil, func(o *orchard) registrytest.Match { return ref(o, ".att") }, []int{404}, ""},
		"attestation tag":    {nil, func(o *orchard) registrytest.Match { return ref(o, ".att") }, []int{401, 403, 429, 500, 503}, ".att"},
		"image":              {nil, func(o *orchard) registrytest.Match { return registrytest.Ref(o.apple.Digest) }, []int{403, 500}, "reading the image"},
		"no image":           {nil, func(o *orchard) registrytest.Match { return registrytest.Ref(o.apple.Digest) }, []int{404}, "does not exist"},
	}
	for name, tc := range tests {
		for _, code := range tc.codes {
			t.Run(fmt.Sprint(name, " ", code), func(t *testing.T) {
				t.Parallel()
				o := newOrchard(t, tc.opts...)
				header := registrytest.Header("Retry-After", "21600") // longer than the client waits
				if code != http.StatusTooManyRequests {
					header = nil
				}
				o.Fault(registrytest.Status(code, header, "planted"), tc.when(o), func(r *http.Request) bool { return r.Method == http.MethodGet })
				e := o.gather(t)
				if (e.Err == nil) != (tc.want == "") || e.Err != nil && !strings.Contains(e.Err.Error(), tc.want) {
					t.Errorf("got error %v, want one with %q", e.Err, tc.want)
				}
			})
		}
	}
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		o := newOrchard(t)
		ctx, cancel := context.WithCancel(t.Context())
		o.Fault(registrytest.Before(func(*http.Request) { cancel() }), api)
		if e := o.reader.Gather(ctx, image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest)); e.Err == nil {
			t.Errorf("got no error of an ended context, want one: %+v", e)
		}
	})
}

// listing answers the referrers API with a list in which all have an artifact type.
func listing(artifactType string, objects ...registrytest.Object) registrytest.Fault {
	for i := range objects {
		objects[i].ArtifactType = artifactType
	}
	return registrytest.Status(http.StatusOK, registrytest.Header("Content-Type", registrytest.OCIIndex), string(registrytest.Index(objects).Raw))
}

// TestGatherLeavesOut reads what it can, and notes the rest.
func TestGatherLeavesOut(t *testing.T) {
	t.Parallel()
	large := registrytest.NewBlob(registrytest.SignatureBundle, bytes.Repeat([]byte(" "), evidence.MaxBundle+1<<20))
	pear := registrytest.Image(2, 1)
	broken := func(t *testing.T, o *orchard) registrytest.Object {
		t.Helper()
		bad := sigstoretest.Referrer(o.apple, []byte("pear"))
		o.Push(t, repo, bad)
		return bad
	}
	tests := map[string]struct {
		put  func(t *testing.T, o *orchard, good registrytest.Object)
		note string // empty: there is none
	}{
		"manifest refused": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			o.Fault(registrytest.Refuse(500, "PLANTED", "no"), registrytest.Ref(broken(t, o).Digest))
		}, "PLANTED"},
		"manifest damaged": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			o.Fault(registrytest.Corrupt(10), registrytest.Ref(broken(t, o).Digest))
		}, "other bytes"},
		"manifest lost": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			o.Fault(registrytest.Refuse(404, "PLANTED", "no"), registrytest.Ref(broken(t, o).Digest))
		}, "not found"},
		"layer lost": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			o.Fault(registrytest.Refuse(404, "PLANTED", "no"), registrytest.Ref(broken(t, o).Blobs[1].Digest))
		}, "reading layer"},
		"layer of 65 MiB": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			o.Push(t, repo, registrytest.Attached([]registrytest.Blob{large}, registrytest.Subject(o.apple), registrytest.ArtifactType(registrytest.SignatureBundle)))
			o.Fault(registrytest.Before(func(*http.Request) { t.Error("got a request for a layer that is too large, want none") }), registrytest.Ref(large.Digest))
		}, "more than 67108864 are refused"},
		"layer of 65 MiB that says less": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			o.Fault(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				const piece = 1 << 20
				for at := 0; at < len(large.Raw); at += piece {
					if _, err := w.Write(large.Raw[at : at+piece]); err != nil {
						return
					}
				}
			}, registrytest.Ref(broken(t, o).Blobs[1].Digest))
		}, "reading layer"},
		"bundle with the signature of a message": {func(t *testing.T, o *orchard, _ registrytest.Object) {
			message := `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{}},"messageSignature":{"signature":"AAAA"}}`
			sigstoretest.Attach(t, o.Server, repo, o.apple, []byte(message))
		}, "no DSSE envelope"},
		"a list with the referrer of another image": {func(t *testing.T, o *orchard, good registrytest.Object) {
			o.Push(t, repo, pear)
			other := sigstoretest.Referrer(pear, o.Bundle(workflow, registrytest.Statement(slsa, o.apple.Digest)))
			o.Push(t, repo, other)
			o.Fault(listing(registrytest.SignatureBundle, good, other), registrytest.Is(registrytest.Referrers))
		}, "does not refer to it"},
		"a list with another type than a referrer has": {func(t *testing.T, o *orchard, good registrytest.Object) {
			sbom := registrytest.Artifact(1, "application/spdx+json", registrytest.Subject(o.apple))
			o.Push(t, repo, sbom)
			o.Fault(listing(registrytest.SignatureBundle, good, sbom), registrytest.Is(registrytest.Referrers))
		}, "no bundle"},
		"a list with another type than a bundle": {func(_ *testing.T, o *orchard, good registrytest.Object) {
			o.Fault(listing("application/spdx+json", good), registrytest.Is(registrytest.Referrers))
		}, ""},
		"a list without types": {func(_ *testing.T, o *orchard, good registrytest.Object) {
			o.Fault(listing("", good), registrytest.Is(registrytest.Referrers))
		}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchard(t)
			good := o.Bundle(workflow, o.statement())
			sigstoretest.Attach(t, o.Server, repo, o.apple, good)
			tc.put(t, o, sigstoretest.Referrer(o.apple, good))
			e := o.gather(t)
			if e.Err != nil {
				t.Fatal(e.Err)
			}
			if diff := cmp.Diff([]string{referred(o, good) + " verified " + workflow.SAN + " " + slsa}, lines(o, e)); diff != "" {
				t.Errorf("attestations (-want +got):\n%s", diff)
			}
			if len(e.Notes) != min(1, len(tc.note)) || len(e.Notes) == 1 && !strings.Contains(e.Notes[0], tc.note) {
				t.Errorf("got notes %q, want one with %q", e.Notes, tc.note)
			}
		})
	}
}

// TestGatherMany reads a thousand referrers and not one more.
func TestGatherMany(t *testing.T) {
	t.Parallel()
	const most = 1000
	for _, n := range []int{most, most + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			o := newOrchard(t, registrytest.Permissive(), registrytest.NoReferrers())
			bundle := o.key.Bundle(o.statement()).Raw
			var referrers []registrytest.Object
			for i := range n {
				referrers = append(referrers, sigstoretest.Referrer(o.apple, bundle, registrytest.Annotate("number", fmt.Sprint(i))))
			}
			o.Push(t, repo, registrytest.Index(referrers), sigstoretest.Tag(o.apple.Digest, ""))
			e := o.gather(t)
			if n == most {
				if e.Err != nil || len(e.Attestations) != n || len(e.Notes) != 0 {
					t.Errorf("got %d attestations of %d, error %v and notes %q", len(e.Attestations), n, e.Err, e.Notes)
				}
				return
			}
			if e.Err == nil || len(e.Attestations) != 0 || !strings.Contains(e.Err.Error(), o.apple.Digest+" has 1001 referrers") {
				t.Errorf("got %d attestations and error %v of 1001 referrers, want an error that names the image", len(e.Attestations), e.Err)
			}
			if got := o.Count(registrytest.BlobGet); got != 0 {
				t.Errorf("got %d reads of bundles, want 0\n%s", got, o.Summary())
			}
		})
	}
}

// TestGatherRequests counts what reading evidence costs.
func TestGatherRequests(t *testing.T) {
	t.Parallel()
	count := func(o *orchard) string {
		return fmt.Sprintf("%d manifests, %d lists, %d blobs", o.Count(registrytest.ManifestGet), o.Count(registrytest.Referrers), o.Count(registrytest.BlobGet))
	}
	single := newOrchard(t)
	sigstoretest.Attach(t, single.Server, repo, single.apple, single.Bundle(workflow, single.statement()), single.Bundle(account, single.statement()))
	single.gather(t)
	if got, want := count(single), "4 manifests, 1 lists, 2 blobs"; got != want { // the image, .att and two referrers
		t.Errorf("an image with two bundles: got %s, want %s\n%s", got, want, single.Summary())
	}
	index := newOrchardOf(t, registrytest.MultiArch(1, 3, 1))
	index.gather(t)
	if got, want := count(index), "5 manifests, 4 lists, 0 blobs"; got != want { // the index, and .att of four digests
		t.Errorf("an index of three platforms: got %s, want %s\n%s", got, want, index.Summary())
	}
	tag := newOrchard(t, registrytest.Distribution())
	sigstoretest.AttachTag(t, tag.Server, repo, tag.apple, tag.Bundle(workflow, tag.statement()))
	tag.gather(t)
	if got, want := count(tag), "4 manifests, 1 lists, 1 blobs"; got != want { // the image, .att, the list and the referrer
		t.Errorf("an image with a list under its tag: got %s, want %s\n%s", got, want, tag.Summary())
	}
}

// TestAttestations returns those of one type, and does not read the others.
func TestAttestations(t *testing.T) {
	t.Parallel()
	o := newOrchard(t)
	const other = "https://spdx.dev/Document"
	sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(workflow, o.statement()), o.Bundle(account, registrytest.Statement(other, o.apple.Digest)))
	sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".att", o.AttestationLayer(account, o.statement()))
	for predicate, want := range map[string]int{slsa: 2, other: 1, "https://example.com/type": 0} {
		got, err := o.reader.Attestations(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest), predicate)
		if err != nil || len(got) != want {
			t.Errorf("%s: got %d attestations (%v), want %d", predicate, len(got), err, want)
		}
	}
	if got, want := o.Count(registrytest.BlobGet), 5; got != want { // one referrer each, and .att each time
		t.Errorf("got %d reads of bundles, want %d\n%s", got, want, o.Summary())
	}
	o.Fault(registrytest.Refuse(403, "PLANTED", "no"), registrytest.Is(registrytest.Referrers))
	if _, err := o.reader.Attestations(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest), slsa); err == nil {
		t.Error("got no error of a registry that refuses, want one")
	}
}
