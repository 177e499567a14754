package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// slsaVerifierVariable names a slsa-verifier 2.7 to verify a summary with.
const slsaVerifierVariable = "CIP_TEST_SLSA_VERIFIER"

// TestSLSAVerifier verifies a summary, which was signed with a key, with slsa-verifier.
func TestSLSAVerifier(t *testing.T) {
	t.Parallel()
	program := os.Getenv(slsaVerifierVariable)
	if program == "" {
		t.Skipf("%s does not name slsa-verifier", slsaVerifierVariable)
	}
	dir := t.TempDir()
	private, public := keyPair(t, dir)
	a := newAttested(t)
	out := start(t, "run", "--confirm", "--manifest="+a.manifest, "--trusted-root="+a.root, "--verification-summaries", "--signing-key="+private).wait(t, runLimit)
	if out.code != 0 {
		t.Fatalf("got exit code %d, want 0\n%s", out.code, out)
	}
	envelope := filepath.Join(dir, "envelope.json")
	if err := os.WriteFile(envelope, a.summaryEnvelope(), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(level, uri string) (string, error) {
		c := exec.CommandContext(t.Context(), program, "verify-vsa", "--subject-digest="+a.index.Digest, "--attestation-path="+envelope,
			"--public-key-path="+public, "--verifier-id=https://sigs.k8s.io/k8s-container-image-promoter/verifier/v1", "--resource-uri="+uri, "--verified-level="+level)
		c.Env = environment(dir)
		raw, err := c.CombinedOutput()
		return string(raw), err
	}
	uri := production + "@" + a.index.Digest
	for _, level := range []string{"SLSA_BUILD_LEVEL_2", "PROMOTION_MANIFEST_REVIEWED"} {
		if text, err := verify(level, uri); err != nil {
			t.Errorf("%s: got error %v, want none\n%s", level, err, text)
		}
	}
	if text, err := verify("OTHER_LEVEL", uri); err == nil {
		t.Errorf("another level: got no error, want one\n%s", text)
	}
	if text, err := verify("SLSA_BUILD_LEVEL_2", strings.Replace(uri, "apple", "pear", 1)); err == nil {
		t.Errorf("another image: got no error, want one\n%s", text)
	}
}

// keyPair writes a key pair in PEM form, and returns the names of the files.
func keyPair(t *testing.T, dir string) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, public = filepath.Join(dir, "release.key"), filepath.Join(dir, "release.pub")
	for _, f := range []struct {
		name, kind string
		encode     func() ([]byte, error)
	}{
		{private, "PRIVATE KEY", func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(key) }},
		{public, "PUBLIC KEY", func() ([]byte, error) { return x509.MarshalPKIXPublicKey(&key.PublicKey) }},
	} {
		der, err := f.encode()
		if err == nil {
			err = os.WriteFile(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}

// summaryEnvelope returns the envelope of the summary of the index.
func (a *attested) summaryEnvelope() []byte {
	a.t.Helper()
	const repo = "us/orchard/apple"
	resp, err := a.dst.Client().Get("http://" + a.dst.Host + "/v2/" + repo + "/referrers/" + a.index.Digest)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list v1.IndexManifest
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != http.StatusOK {
		a.t.Fatalf("reading the referrers: status %s, %v", resp.Status, err)
	}
	for _, d := range list.Manifests {
		if d.Annotations["dev.sigstore.bundle.predicateType"] != summaryType {
			continue
		}
		raw, _, _ := a.dst.Manifest(a.t, repo, d.Digest.String())
		var m v1.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			a.t.Fatal(err)
		}
		raw, _ = a.dst.Blob(a.t, repo, m.Layers[0].Digest.String())
		var bundle struct {
			Envelope json.RawMessage `json:"dsseEnvelope"`
		}
		if err := json.Unmarshal(raw, &bundle); err != nil {
			a.t.Fatal(err)
		}
		return bundle.Envelope
	}
	a.t.Fatalf("got no summary among %d referrers, want one", len(list.Manifests))
	return nil
}
