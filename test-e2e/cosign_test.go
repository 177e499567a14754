package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// cosignVariable names a cosign 3 to verify evidence with.
const cosignVariable = "CIP_TEST_COSIGN"

// TestCosign verifies a record and a signature with cosign.
func TestCosign(t *testing.T) {
	t.Parallel()
	program := os.Getenv(cosignVariable)
	if program == "" {
		t.Skipf("%s does not name cosign", cosignVariable)
	}
	dir := t.TempDir()
	cosign := func(args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), program, args...)
		c.Dir, c.Env = dir, append(environment(dir), "COSIGN_PASSWORD="+secret)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, name := range []string{"release", "other"} {
		if out, err := cosign("generate-key-pair", "--output-key-prefix="+name); err != nil {
			t.Fatalf("cosign generate-key-pair: %v\n%s", err, out)
		}
	}
	src, dst := rt.New(t), rt.New(t)
	image := rt.MultiArch(1, 2, 1)
	src.Push(t, "staging/apple", image, "1")
	manifest := writeManifest(t, entry("apple", image.Digest, "1.0"), src.Host+"/staging", dst.Host+"/prod")
	p := prepare(t, "run", "--confirm", "--manifest="+manifest, "--attest", "--sign", "--signing-key="+filepath.Join(dir, "release.key"))
	p.Env = append(p.Env, "COSIGN_PASSWORD="+secret)
	p.begin(t)
	if out := p.wait(t, runLimit); out.code != 0 {
		t.Fatalf("got exit code %d, want 0\n%s", out.code, out)
	}
	ref := dst.Host + "/prod/apple@" + image.Digest
	attestation := []string{"verify-attestation", "--type=https://k8s.io/promo-tools/promotion/v1", "--insecure-ignore-tlog=true", "--allow-http-registry", ref}
	signature := []string{"verify", "--insecure-ignore-tlog=true", "--allow-http-registry", ref}
	child := []string{"verify", "--insecure-ignore-tlog=true", "--allow-http-registry", dst.Host + "/prod/apple@" + image.Children[0].Digest}
	for _, args := range [][]string{attestation, signature, child} {
		if out, err := cosign(append(args, "--key=release.pub")...); err != nil {
			t.Errorf("cosign %s: got error %v, want none\n%s", strings.Join(args, " "), err, out)
		}
		if out, err := cosign(append(args, "--key=other.pub")...); err == nil {
			t.Errorf("cosign %s with another key: got no error, want one\n%s", strings.Join(args, " "), out)
		}
	}
}
