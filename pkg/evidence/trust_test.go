package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

	slsa = "https://slsa.dev/provenance/v1"
)

var (
	workflow = sigstoretest.Identity{
		SAN:              "https://github.com/orchard/apple/.github/workflows/build.yml@refs/tags/v1",
		Issuer:           "https://token.actions.githubusercontent.com",
		SourceRepository: "https://github.com/orchard/apple",
		BuildConfig:      "https://github.com/orchard/apple/.github/workflows/caller.yml@refs/tags/v1",
	}
	account = sigstoretest.Identity{SAN: "builder@example.com", Issuer: "https://accounts.google.com"}
)

// identity is what a verifier returns of an identity in a certificate.
func identity(id sigstoretest.Identity) provenance.Identity {
	return provenance.Identity{SAN: id.SAN, Issuer: id.Issuer, SourceRepository: id.SourceRepository, BuildConfig: id.BuildConfig}
}

func trust(t *testing.T, o evidence.TrustOptions) *evidence.Trust {
	t.Helper()
	tr, err := evidence.NewTrust(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// judged compares an attestation with the state, and the reason if that state is not Verified.
func judged(t *testing.T, what string, got provenance.Attestation, state provenance.State, reason string) {
	t.Helper()
	if got.State != state || !strings.Contains(got.Reason, reason) || (reason == "") != (got.Reason == "") {
		t.Errorf("%s: got state %d with reason %q, want %d with %q", what, got.State, got.Reason, state, reason)
	}
	if (got.Signer != provenance.Identity{}) != (state == provenance.Verified) {
		t.Errorf("%s: got signer %+v in state %d", what, got.Signer, got.State)
	}
}

// verified returns the result of verifying a bundle. An error counts as one that is
// unverifiable, for that reason.
func verified(t testing.TB, by *evidence.Trust, bundle []byte, digest v1.Hash) provenance.Attestation {
	t.Helper()
	a, err := by.Verify(t.Context(), bundle, digest)
	if err != nil {
		a.State, a.Reason = provenance.Unverifiable, err.Error()
	}
	return a
}

// TestVerify verifies bundles that are wrong in one way each, by a root with logs and by
// one that has only timestamps.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	statement, other := registrytest.Statement(slsa, digestA), registrytest.Statement(slsa, digestB)
	logs := trust(t, evidence.TrustOptions{Roots: [][]byte{s.TrustedRoot()}})
	stamps := trust(t, evidence.TrustOptions{Roots: [][]byte{s.TimestampOnlyRoot()}})
	type want struct {
		state  provenance.State
		reason string
	}
	good := want{state: provenance.Verified}
	failed := func(reason string) want { return want{provenance.Failed, reason} }
	type opts = []sigstoretest.Option
	tests := map[string]struct {
		statement    []byte
		opts         opts
		logs, stamps want
	}{
		"whole":                     {statement, nil, good, good},
		"without SCT":               {statement, opts{sigstoretest.WithoutSCT()}, failed("SCT"), good},
		"without log entry":         {statement, opts{sigstoretest.WithoutLog()}, failed("log entries"), good},
		"without timestamp":         {statement, opts{sigstoretest.WithoutTimestamp()}, good, failed("signed timestamps")},
		"without observed time":     {statement, opts{sigstoretest.WithoutTimestamp(), sigstoretest.WithoutPromise()}, failed("timestamps"), failed("timestamps")},
		"expired, with times":       {statement, opts{sigstoretest.Expired()}, good, good},
		"expired, no timestamp":     {statement, opts{sigstoretest.Expired(), sigstoretest.WithoutTimestamp()}, good, failed("timestamps")},
		"expired, no time":          {statement, opts{sigstoretest.Expired(), sigstoretest.WithoutTimestamp(), sigstoretest.WithoutPromise()}, failed("timestamps"), failed("timestamps")},
		"signed after expiry":       {statement, opts{sigstoretest.Late()}, failed("outside certificate validity"), failed("leaf certificate")},
		"log entry of another":      {statement, opts{sigstoretest.LogEntryFor(other)}, failed("transparency log"), good},
		"two signatures":            {statement, opts{sigstoretest.Signatures(2)}, failed("2 signatures"), failed("2 signatures")},
		"no signature":              {statement, opts{sigstoretest.Signatures(0), sigstoretest.WithoutLog(), sigstoretest.WithoutTimestamp()}, want{provenance.Unsigned, "no signature"}, want{provenance.Unsigned, "no signature"}},
		"another payload type":      {statement, opts{sigstoretest.PayloadType("application/json")}, failed("has the type"), failed("has the type")},
		"tampered":                  {statement, opts{sigstoretest.Tampered()}, failed("payload hash"), failed("could not verify")},
		"another digest":            {other, nil, failed("about other digests"), failed("about other digests")},
		"several subjects":          {registrytest.Statement(slsa, digestB, digestA), nil, good, good},
		"several subjects, not one": {registrytest.Statement(slsa, digestB, strings.ReplaceAll(digestB, "b", "c")), nil, failed("about other digests"), failed("about other digests")},
		"a key twice":               {twice(statement, "predicateType"), nil, failed("is repeated"), failed("is repeated")},
		"a subject twice":           {twice(statement, "subject"), nil, failed("is repeated"), failed("is repeated")},
		"a key twice, in the depth": {twice(statement, "digest"), nil, failed("is repeated"), failed("is repeated")},
		"not a statement":           {[]byte("apple"), nil, failed("parsing the statement"), failed("parsing the statement")},
		"by an unknown key": {
			statement, opts{sigstoretest.SignedBy(registrytest.NewKey(t, "p256"))},
			want{provenance.Unverifiable, "no public key is trusted"}, want{provenance.Unverifiable, "no public key is trusted"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := s.Bundle(workflow, tc.statement, tc.opts...)
			judged(t, "root with logs", verified(t, logs, raw, image.Hash(digestA)), tc.logs.state, tc.logs.reason)
			judged(t, "root without logs", verified(t, stamps, raw, image.Hash(digestA)), tc.stamps.state, tc.stamps.reason)
		})
	}
}

// twice gives a document a key twice, in another case, with an empty value first.
func twice(raw []byte, key string) []byte {
	return bytes.Replace(raw, []byte(`"`+key+`":`), []byte(`"`+strings.ToUpper(key)+`":null,"`+key+`":`), 1)
}

// TestVerifyBundles does not accept bundles that are not what they should be.
func TestVerifyBundles(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	tr := trust(t, evidence.TrustOptions{Roots: [][]byte{s.TrustedRoot()}})
	good := s.Bundle(workflow, registrytest.Statement(slsa, digestA))
	edited := func(edit func(b map[string]any)) []byte {
		var b map[string]any
		if err := json.Unmarshal(good, &b); err != nil {
			t.Fatal(err)
		}
		edit(b)
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	material := func(b map[string]any) map[string]any { return b["verificationMaterial"].(map[string]any) }
	tests := map[string]struct {
		raw   []byte
		state provenance.State
		want  string
	}{
		"edited in nothing": {edited(func(map[string]any) {}), provenance.Verified, ""},
		"not JSON":          {[]byte("apple"), provenance.Failed, "parsing the bundle"},
		"too large":         {append(slices.Clone(good), bytes.Repeat([]byte(" "), evidence.MaxBundle)...), provenance.Failed, "more than 67108864 are refused"},
		"a key twice":       {twice(good, "mediaType"), provenance.Failed, "parsing the bundle"},
		"unknown key":       {edited(func(b map[string]any) { b["apple"] = 1 }), provenance.Failed, "parsing the bundle"},
		"unknown version":   {edited(func(b map[string]any) { b["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.9+json" }), provenance.Failed, "v0.9"},
		"no envelope":       {edited(func(b map[string]any) { delete(b, "dsseEnvelope") }), provenance.Unverifiable, "no DSSE envelope"},
		"message signature": {edited(func(b map[string]any) {
			delete(b, "dsseEnvelope")
			b["messageSignature"] = map[string]any{"signature": "AAAA"}
		}), provenance.Unverifiable, "no DSSE envelope"},
		"no material":    {edited(func(b map[string]any) { delete(b, "verificationMaterial") }), provenance.Failed, "verification material"},
		"no certificate": {edited(func(b map[string]any) { delete(material(b), "certificate") }), provenance.Failed, "verification material"},
		"broken certificate": {edited(func(b map[string]any) {
			material(b)["certificate"] = map[string]any{"rawBytes": "AAAA"}
		}), provenance.Unverifiable, "no trusted root has issued"},
		"a chain": {edited(func(b map[string]any) {
			m := material(b)
			m["x509CertificateChain"] = map[string]any{"certificates": []any{m["certificate"]}}
			delete(m, "certificate")
		}), provenance.Failed, "chain"},
		"broken log entry": {edited(func(b map[string]any) {
			material(b)["tlogEntries"].([]any)[0].(map[string]any)["canonicalizedBody"] = "e30="
		}), provenance.Failed, "entry"},
		"another log's entry": {edited(func(b map[string]any) {
			var other map[string]any
			if err := json.Unmarshal(s.Bundle(workflow, registrytest.Statement(slsa, digestA)), &other); err != nil {
				t.Fatal(err)
			}
			material(b)["tlogEntries"] = material(other)["tlogEntries"]
		}), provenance.Failed, "does not match"},
		"another bundle's timestamp": {edited(func(b map[string]any) {
			var other map[string]any
			if err := json.Unmarshal(s.Bundle(workflow, registrytest.Statement(slsa, digestA)), &other); err != nil {
				t.Fatal(err)
			}
			material(b)["timestampVerificationData"] = material(other)["timestampVerificationData"]
			delete(material(b)["tlogEntries"].([]any)[0].(map[string]any), "inclusionPromise")
		}), provenance.Failed, "timestamps"},
		"of a stranger": {sigstoretest.New(t).Bundle(workflow, registrytest.Statement(slsa, digestA)), provenance.Unverifiable, "no trusted root has issued"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judged(t, name, verified(t, tr, tc.raw, image.Hash(digestA)), tc.state, tc.want)
		})
	}
}

// TestVerifySigner returns what the certificate or the key is.
func TestVerifySigner(t *testing.T) {
	t.Parallel()
	s, key := sigstoretest.New(t), registrytest.NewKey(t, "p256")
	tr := trust(t, evidence.TrustOptions{Roots: [][]byte{s.TrustedRoot()}, Keys: [][]byte{registrytest.NewKey(t, "rsa").Public(), key.Public()}})
	statement := registrytest.Statement(slsa, digestA)
	for _, id := range []sigstoretest.Identity{workflow, account} {
		got := verified(t, tr, s.Bundle(id, statement), image.Hash(digestA))
		if diff := cmp.Diff(identity(id), got.Signer); diff != "" {
			t.Errorf("signer (-want +got):\n%s", diff)
		}
		want := []provenance.Subject{{Digest: map[string]string{"sha256": strings.TrimPrefix(digestA, "sha256:")}}}
		if diff := cmp.Diff(want, got.Statement.Subjects); diff != "" || got.Statement.PredicateType != slsa {
			t.Errorf("got predicate type %q, want %q; subjects (-want +got):\n%s", got.Statement.PredicateType, slsa, diff)
		}
	}
	for name, raw := range map[string][]byte{
		"bundle of cosign": key.Bundle(statement).Raw,
		"with log entry":   s.Bundle(account, statement, sigstoretest.SignedBy(key)),
	} {
		got := verified(t, tr, raw, image.Hash(digestA))
		if got.State != provenance.Verified || len(got.Signer.Key) != len(digestA) || got.Signer.SAN != "" {
			t.Errorf("%s: got state %d (%s) and signer %+v, want %d and a key", name, got.State, got.Reason, got.Signer, provenance.Verified)
		}
	}
	judged(t, "another key", verified(t, tr, registrytest.NewKey(t, "p256").Bundle(statement).Raw, image.Hash(digestA)),
		provenance.Unverifiable, "not made with the key")
}

// TestRoots reads files with one root and with several.
func TestRoots(t *testing.T) {
	t.Parallel()
	s, github := sigstoretest.New(t), sigstoretest.New(t)
	statement := registrytest.Statement(slsa, digestA)
	public, stamped := s.Bundle(workflow, statement), github.Bundle(workflow, statement, sigstoretest.WithoutLog(), sigstoretest.WithoutSCT())
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, s.TrustedRoot(), "", "  "); err != nil {
		t.Fatal(err)
	}
	lines := slices.Concat(s.TrustedRoot(), []byte("\n"), github.TimestampOnlyRoot(), []byte("\n"))
	tests := map[string]struct {
		roots           [][]byte
		public, stamped provenance.State
	}{
		"one":               {[][]byte{s.TrustedRoot()}, provenance.Verified, provenance.Unverifiable},
		"one, indented":     {[][]byte{pretty.Bytes()}, provenance.Verified, provenance.Unverifiable},
		"a root a line":     {[][]byte{lines}, provenance.Verified, provenance.Verified},
		"two files":         {[][]byte{s.TrustedRoot(), github.TimestampOnlyRoot()}, provenance.Verified, provenance.Verified},
		"logs are demanded": {[][]byte{github.TrustedRoot()}, provenance.Unverifiable, provenance.Failed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := trust(t, evidence.TrustOptions{Roots: tc.roots})
			if got := verified(t, tr, public, image.Hash(digestA)); got.State != tc.public {
				t.Errorf("logged: got state %d (%s), want %d", got.State, got.Reason, tc.public)
			}
			if got := verified(t, tr, stamped, image.Hash(digestA)); got.State != tc.stamped {
				t.Errorf("with a timestamp only: got state %d (%s), want %d", got.State, got.Reason, tc.stamped)
			}
		})
	}
	for name, tc := range map[string]struct{ root, want string }{
		"empty":      {"", "not trusted_root.json"},
		"not JSON":   {"apple", "not trusted_root.json"},
		"other JSON": {"{}", "not trusted_root.json"},
		"no CA":      {`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`, "no certificate authority"},
		"cut":        {string(s.TrustedRoot()[:100]), "not trusted_root.json"},
		"second":     {string(s.TrustedRoot()) + "{}", "not trusted_root.json"},
	} {
		if _, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{[]byte(tc.root)}}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("root %s: got error %v, want one with %q", name, err, tc.want)
		}
	}
}

func noNetwork(context.Context) ([]byte, error) { return nil, errors.New("no network") }

// TestPublicRoot is loaded when a certificate is verified, and only then, once.
func TestPublicRoot(t *testing.T) {
	t.Parallel()
	s, key := sigstoretest.New(t), registrytest.NewKey(t, "p256")
	statement := registrytest.Statement(slsa, digestA)
	loads := 0
	public := func(context.Context) ([]byte, error) {
		loads++
		return s.TrustedRoot(), nil
	}
	tr := trust(t, evidence.TrustOptions{Keys: [][]byte{key.Public()}, Public: public})
	digest := image.Hash(digestA)
	judged(t, "key", verified(t, tr, key.Bundle(statement).Raw, digest), provenance.Verified, "")
	judged(t, "unsigned", verified(t, tr, s.Bundle(account, statement, sigstoretest.Signatures(2)), digest), provenance.Failed, "2 signatures")
	if loads != 0 {
		t.Errorf("got %d loads before a certificate, want 0", loads)
	}
	bundle := s.Bundle(account, statement)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { judged(t, "certificate", verified(t, tr, bundle, digest), provenance.Verified, "") })
	}
	wg.Wait()
	if loads != 1 {
		t.Errorf("got %d loads, want 1", loads)
	}
	given := trust(t, evidence.TrustOptions{Roots: [][]byte{sigstoretest.New(t).TrustedRoot()}, Public: public})
	judged(t, "root is given", verified(t, given, bundle, digest), provenance.Unverifiable, "no trusted root has issued")
	none := trust(t, evidence.TrustOptions{})
	judged(t, "no root", verified(t, none, bundle, digest), provenance.Unverifiable, "no root is trusted")
	broken := trust(t, evidence.TrustOptions{Public: noNetwork})
	judged(t, "not loaded", verified(t, broken, bundle, digest), provenance.Unverifiable, "no network")
	odd := trust(t, evidence.TrustOptions{Public: func(context.Context) ([]byte, error) { return []byte("{}"), nil }})
	judged(t, "not a root", verified(t, odd, bundle, digest), provenance.Unverifiable, "sigstore's public root")
	if loads != 1 {
		t.Errorf("got %d loads in the end, want 1", loads)
	}
}

// FuzzVerify verifies hostile bundles: none may be valid, nor break the verifier.
func FuzzVerify(f *testing.F) {
	s, key := sigstoretest.New(f), registrytest.NewKey(f, "p256")
	tr, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{s.TrustedRoot(), s.TimestampOnlyRoot()}, Keys: [][]byte{key.Public()}})
	if err != nil {
		f.Fatal(err)
	}
	stranger := sigstoretest.New(f)
	f.Add(stranger.Bundle(workflow, registrytest.Statement(slsa, digestA)))
	f.Add(s.Bundle(workflow, registrytest.Statement(slsa, digestB)))
	f.Add(s.Bundle(workflow, registrytest.Statement(slsa, digestA), sigstoretest.Tampered()))
	f.Add([]byte(`{"dsseEnvelope":{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[{}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got := verified(t, tr, raw, v1.Hash{Algorithm: "sha256", Hex: strings.TrimPrefix(digestA, "sha256:")}); got.State == provenance.Verified {
			t.Errorf("got %+v for %q, want a bundle that is not verified", got, raw)
		}
	})
}
