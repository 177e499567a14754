package sigstoretest_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
)

const digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

var workflow = sigstoretest.Identity{
	SAN:              "https://github.com/orchard/apple/.github/workflows/build.yml@refs/tags/v1",
	Issuer:           "https://token.actions.githubusercontent.com",
	SourceRepository: "https://github.com/orchard/apple",
	BuildConfig:      "https://github.com/orchard/apple/.github/workflows/caller.yml@refs/tags/v1",
}

// TestBundle verifies bundles with sigstore-go, by a root with logs and by one without.
func TestBundle(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	logs, stamps := verifier(t, s.TrustedRoot(), true), verifier(t, s.TimestampOnlyRoot(), false)
	statement := registrytest.Statement("https://example.com/type", digest)
	const ok = ""
	tests := map[string]struct {
		opts         []sigstoretest.Option
		logs, stamps string // parts of the errors of the two roots
	}{
		"whole":                {nil, ok, ok},
		"no SCT":               {[]sigstoretest.Option{sigstoretest.WithoutSCT()}, "SCT", ok},
		"no log entry":         {[]sigstoretest.Option{sigstoretest.WithoutLog()}, "not enough verified log entries", ok},
		"no promise":           {[]sigstoretest.Option{sigstoretest.WithoutPromise()}, ok, ok},
		"no timestamp":         {[]sigstoretest.Option{sigstoretest.WithoutTimestamp()}, ok, "threshold not met"},
		"no time":              {[]sigstoretest.Option{sigstoretest.WithoutPromise(), sigstoretest.WithoutTimestamp()}, "threshold not met", "threshold not met"},
		"expired":              {[]sigstoretest.Option{sigstoretest.Expired()}, ok, ok},
		"late":                 {[]sigstoretest.Option{sigstoretest.Late()}, "outside certificate validity", "leaf certificate"},
		"late, by timestamp":   {[]sigstoretest.Option{sigstoretest.Late(), sigstoretest.WithoutLog()}, "log entries", "leaf certificate"},
		"other log entry":      {[]sigstoretest.Option{sigstoretest.LogEntryFor([]byte("{}"))}, "does not match", ok},
		"several signatures":   {[]sigstoretest.Option{sigstoretest.Signatures(2)}, "signature", "signature"},
		"other payload type":   {[]sigstoretest.Option{sigstoretest.PayloadType("text/plain")}, "unsupported", "unsupported"},
		"tampered":             {[]sigstoretest.Option{sigstoretest.Tampered()}, "payload hash", "could not verify envelope"},
		"tampered, not logged": {[]sigstoretest.Option{sigstoretest.Tampered(), sigstoretest.WithoutLog()}, "log entries", "could not verify envelope"},
		"by key":               {[]sigstoretest.Option{sigstoretest.SignedBy(registrytest.NewKey(t, "p256"))}, "certificate does not match", "public key"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := s.Bundle(workflow, statement, tc.opts...)
			for kind, root := range map[string]struct {
				*verify.Verifier
				want string
			}{"with logs": {logs, tc.logs}, "without logs": {stamps, tc.stamps}} {
				_, err := verified(t, root.Verifier, raw)
				switch {
				case root.want == ok && err != nil:
					t.Errorf("%s: got error %v, want none\n%s", kind, err, raw)
				case root.want != ok && (err == nil || !strings.Contains(err.Error(), root.want)):
					t.Errorf("%s: got error %v, want one with %q", kind, err, root.want)
				}
			}
		})
	}
}

// TestIdentity puts an identity into a certificate.
func TestIdentity(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	v := verifier(t, s.TrustedRoot(), true)
	for _, want := range []sigstoretest.Identity{workflow, {SAN: "builder@example.com", Issuer: "https://accounts.google.com"}} {
		result, err := verified(t, v, s.Bundle(want, registrytest.Statement("https://example.com/type", digest)))
		if err != nil {
			t.Fatal(err)
		}
		c := result.Signature.Certificate
		if got := (sigstoretest.Identity{c.SubjectAlternativeName, c.Issuer, c.SourceRepositoryURI, c.BuildConfigURI}); got != want {
			t.Errorf("got identity %+v, want %+v", got, want)
		}
	}
}

// TestStrangers does not trust another sigstore.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s, stranger := sigstoretest.New(t), sigstoretest.New(t)
	raw := stranger.Bundle(workflow, registrytest.Statement("https://example.com/type", digest))
	if _, err := verified(t, verifier(t, s.TrustedRoot(), true), raw); err == nil {
		t.Error("the bundle of a stranger: got no error, want one")
	}
}

// verifier verifies with one root.
func verifier(t *testing.T, trusted []byte, logs bool) *verify.Verifier {
	t.Helper()
	r, err := root.NewTrustedRootFromJSON(trusted)
	if err != nil {
		t.Fatal(err)
	}
	opts := []verify.VerifierOption{verify.WithSignedTimestamps(1)}
	if logs {
		opts = []verify.VerifierOption{verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	}
	v, err := verify.NewVerifier(r, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verified(t *testing.T, v *verify.Verifier, raw []byte) (*verify.VerificationResult, error) {
	t.Helper()
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		t.Fatal(err)
	}
	return v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", sum), verify.WithoutIdentitiesUnsafe()))
}
