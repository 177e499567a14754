package evidence_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// signed returns the signers of the image, and why other signatures are not valid.
func (o *orchard) signed(t *testing.T) (signers []provenance.Identity, invalid string) {
	t.Helper()
	signers, reasons, err := o.reader.Signed(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest))
	if err != nil {
		t.Fatal(err)
	}
	return signers, strings.Join(reasons, "; ")
}

// TestSigned verifies cosign's signatures with a certificate.
func TestSigned(t *testing.T) {
	t.Parallel()
	sig := func(payload string, edit func(l *registrytest.Blob), opts ...sigstoretest.Option) func(t *testing.T, o *orchard) {
		return func(t *testing.T, o *orchard) {
			digest := o.apple.Digest
			if payload != "" {
				digest = payload
			}
			l := o.CosignLayer(account, registrytest.Claim(digest), opts...)
			if edit != nil {
				edit(&l)
			}
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".sig", l)
		}
	}
	bundle := func(predicate, digest string, opts ...sigstoretest.Option) func(t *testing.T, o *orchard) {
		return func(t *testing.T, o *orchard) {
			about := o.apple.Digest
			if digest != "" {
				about = digest
			}
			sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(account, registrytest.Statement(predicate, about), opts...))
		}
	}
	const cosign = registrytest.SignPredicate
	tests := map[string]struct {
		put     func(t *testing.T, o *orchard)
		invalid string // empty: it is valid
	}{
		"tag":                          {sig("", nil), ""},
		"tag, without a timestamp":     {sig("", nil, sigstoretest.WithoutTimestamp()), ""},
		"tag, without a log entry":     {sig("", nil, sigstoretest.WithoutLog()), "log entries"},
		"tag, without an SCT":          {sig("", nil, sigstoretest.WithoutSCT()), "SCT"},
		"tag, expired":                 {sig("", nil, sigstoretest.Expired()), ""},
		"tag, late":                    {sig("", nil, sigstoretest.Late()), "outside certificate validity"},
		"tag, log entry of another":    {sig("", nil, sigstoretest.LogEntryFor(registrytest.Claim(digestB))), "does not match"},
		"tag, another image":           {sig(digestB, nil), "the payload is about"},
		"tag, tampered":                {sig("", nil, sigstoretest.Tampered()), "does not match"},
		"tag, without a certificate":   {sig("", func(l *registrytest.Blob) { delete(l.Annotations, "dev.sigstore.cosign/certificate") }), "not made with the key"},
		"tag, bad signature":           {sig("", func(l *registrytest.Blob) { l.Annotations["dev.cosignproject.cosign/signature"] = "!" }), "decoding the signature"},
		"tag, other signature":         {sig("", func(l *registrytest.Blob) { l.Annotations["dev.cosignproject.cosign/signature"] = "AAAA" }), "does not match"},
		"bundle":                       {bundle(cosign, ""), ""},
		"bundle, without an SCT":       {bundle(cosign, "", sigstoretest.WithoutSCT()), "SCT"},
		"bundle, another image":        {bundle(cosign, digestB), "about other digests"},
		"bundle, something else":       {bundle(slsa, ""), ""}, // its annotation says so: it is not read
		"bundle, two signatures":       {bundle(cosign, "", sigstoretest.Signatures(2)), "2 signatures"},
		"bundle, log entry of another": {bundle(cosign, "", sigstoretest.LogEntryFor(registrytest.Statement(cosign, digestB))), "transparency log"},
		"bundle, of another stranger": {func(t *testing.T, o *orchard) {
			sigstoretest.Attach(t, o.Server, repo, o.apple, sigstoretest.New(t).Bundle(account, registrytest.Statement(cosign, o.apple.Digest)))
		}, "no trusted root has issued"},
		"tag, of a stranger's authority": {func(t *testing.T, o *orchard) {
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".sig", sigstoretest.New(t).CosignLayer(account, registrytest.Claim(o.apple.Digest)))
		}, "no trusted root has issued"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchard(t)
			tc.put(t, o)
			signers, invalid := o.signed(t)
			if (invalid == "") != (tc.invalid == "") || !strings.Contains(invalid, tc.invalid) {
				t.Errorf("got invalid signatures %q, want one with %q", invalid, tc.invalid)
			}
			var want []provenance.Identity
			if tc.invalid == "" && name != "bundle, something else" {
				want = append(want, identity(account))
			}
			if diff := cmp.Diff(want, signers); diff != "" {
				t.Errorf("signers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSignedByAll returns the signers of all signatures, and does not treat as unsigned what it could not read.
func TestSignedByAll(t *testing.T) {
	t.Parallel()
	o := newOrchard(t)
	claim := registrytest.Claim(o.apple.Digest)
	sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".sig", o.CosignLayer(workflow, claim), o.key.Layer(claim), o.CosignLayer(account, claim, sigstoretest.SignedBy(o.key)))
	sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(account, registrytest.Statement(registrytest.SignPredicate, o.apple.Digest)))
	signers, invalid := o.signed(t)
	if len(signers) != 4 || signers[0] != identity(workflow) || !signers[1].IsKey() || signers[1] != signers[2] || signers[3] != identity(account) || invalid != "" {
		t.Errorf("got signers %v and invalid %q, want a workflow, a key twice and an account", signers, invalid)
	}
	o.Fault(registrytest.Refuse(http.StatusForbidden, "PLANTED", "no"), registrytest.Is(registrytest.Referrers))
	signers, _, err := o.reader.Signed(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest))
	if err == nil || len(signers) != 3 {
		t.Errorf("got signers %v and error %v, want those under the tag and an error", signers, err)
	}
	client, err := registry.New(registry.Options{NoAmbient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	unloaded := evidence.NewReader(evidence.Direct(client), trust(t, evidence.TrustOptions{Public: noNetwork}))
	if _, _, err := unloaded.Signed(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest)); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("got error %v without a root, want one with %q", err, "no network")
	}
}

// TestKeys parses public keys.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		trust(t, evidence.TrustOptions{Keys: [][]byte{registrytest.NewKey(t, kind).Public()}})
	}
	for bad, want := range map[string]string{
		"":      "not a public key in PEM form",
		"apple": "not a public key in PEM form",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n":                                         "not a public key in PEM form",
		"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n": "it is a private key",
	} {
		if _, err := evidence.NewTrust(evidence.TrustOptions{Keys: [][]byte{[]byte(bad)}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("key %q: got error %v, want one with %q", bad, err, want)
		}
	}
}

// FuzzSigned verifies hostile payloads and annotations: none may be valid, nor break the verifier.
func FuzzSigned(f *testing.F) {
	s, key := sigstoretest.New(f), registrytest.NewKey(f, "p256")
	tr, err := evidence.NewTrust(evidence.TrustOptions{Roots: [][]byte{s.TrustedRoot()}, Keys: [][]byte{key.Public()}})
	if err != nil {
		f.Fatal(err)
	}
	const certificate, entry, sig = "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/bundle", "dev.cosignproject.cosign/signature"
	for _, l := range []registrytest.Blob{
		s.CosignLayer(account, registrytest.Claim(digestB)), sigstoretest.New(f).CosignLayer(account, registrytest.Claim(digestA)), key.Layer(registrytest.Claim(digestB)),
	} {
		f.Add(l.Raw, l.Annotations[sig], l.Annotations[certificate], l.Annotations[entry])
	}
	f.Fuzz(func(t *testing.T, payload []byte, sigText, cert, log string) {
		got, err := tr.VerifyImage(t.Context(), registry.Signature{
			Payload: payload, Annotations: map[string]string{sig: sigText, certificate: cert, entry: log},
		}, image.Hash(digestA))
		if err != nil || got.Invalid == "" {
			t.Errorf("got %+v (%v) for payload %q, want an invalid signature", got, err, payload)
		}
	})
}

// TestClaims reads whom a signature that is not valid names.
func TestClaims(t *testing.T) {
	t.Parallel()
	const cosign = registrytest.SignPredicate
	tests := map[string]struct {
		put    func(t *testing.T, o *orchard)
		bundle bool
		want   string
	}{
		"tag of a stranger's authority": {func(t *testing.T, o *orchard) {
			sigstoretest.PutTag(t, o.Server, repo, o.apple.Digest, ".sig", sigstoretest.New(t).CosignLayer(account, registrytest.Claim(o.apple.Digest)))
		}, false, account.SAN},
		"bundle about another image": {func(t *testing.T, o *orchard) {
			sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(account, registrytest.Statement(cosign, digestB)))
		}, true, account.SAN},
		"bundle without an SCT": {func(t *testing.T, o *orchard) {
			sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(account, registrytest.Statement(cosign, o.apple.Digest), sigstoretest.WithoutSCT()))
		}, true, account.SAN},
		"bundle of a key": {func(t *testing.T, o *orchard) {
			sigstoretest.Attach(t, o.Server, repo, o.apple, o.Bundle(account, registrytest.Statement(cosign, o.apple.Digest), sigstoretest.SignedBy(registrytest.NewKey(t, "p256"))))
		}, true, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchard(t)
			tc.put(t, o)
			n := 0
			for s, err := range o.reader.Signatures(t.Context(), image.NewRepository(o.Host, repo), image.Hash(o.apple.Digest)) {
				if n++; err != nil || s.Invalid == "" || s.Bundle != tc.bundle || s.Claims.SAN != tc.want {
					t.Errorf("got %+v, error %v, want one that is not valid, a bundle: %v, and names %q", s, err, tc.bundle, tc.want)
				}
			}
			if n != 1 {
				t.Errorf("got %d signatures, want 1", n)
			}
		})
	}
}
