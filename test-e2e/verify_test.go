package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// TestVerifyVouchesForNoRefusedImage lets cip verify --confirm find an image that was pushed
// past the promoter, and that the policy of its source refuses. Neither a record nor a
// signature may be written.
func TestVerifyVouchesForNoRefusedImage(t *testing.T) {
	t.Parallel()
	a := newAttested(t)
	text, err := os.ReadFile(a.manifest)
	if err != nil {
		t.Fatal(err)
	}
	strict := strings.Replace(string(text), `sources: ["`+workflow.SourceRepository, `sources: ["https://github.com/orchard/other`, 1)
	if err := os.WriteFile(a.manifest, []byte(strict), 0o600); err != nil {
		t.Fatal(err)
	}
	a.dst.Push(t, "us/orchard/apple", a.index, "v1", "v1.0")
	private, public := keyFiles(t)
	out := start(t, "verify", "--manifest="+a.manifest, "--trusted-root="+a.root, "--signing-key="+private, "--signature-key="+public,
		"--require-signature", "--confirm").wait(t, runLimit)
	if want := "record      missing"; out.code != 1 || !strings.Contains(out.stdout, want) || !strings.Contains(out.stdout, "not satisfied") {
		t.Errorf("got exit code %d, want 1, %q and a policy that is not satisfied\n%s", out.code, want, out)
	}
	if _, _, there := a.dst.Manifest(t, "us/orchard/apple", sigstoretest.Tag(a.index.Digest, ".sig")); there {
		t.Error("got a signature, want none")
	}
	repo := image.NewRepository(a.dst.Host, "us/orchard/apple")
	if all, err := a.reader().Attestations(t.Context(), repo, image.Hash(a.index.Digest), recordType); err != nil || len(all) > 0 {
		t.Errorf("got records %v and error %v, want none", all, err)
	}
}

// TestVerifyFailsForWhatCannotBeVerified gives cip verify entries that name no digest.
func TestVerifyFailsForWhatCannotBeVerified(t *testing.T) {
	t.Parallel()
	src, dst := rt.New(t), rt.New(t)
	src.Push(t, "staging/apple", rt.Image(1, 1), "1")
	_, public := keyFiles(t)
	for name, tc := range map[string]struct{ entry, want string }{
		"a source tag that does not exist": {"- name: apple\n  retag: [{src_build_tag: gone, tag: v1}]\n", "does not exist"},
		"a bad tag":                        {"- name: apple\n  dmap: {\"sha256:" + strings.Repeat("a", 64) + "\": [\"1:x\"]}\n", `bad tag "1:x"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifest := writeManifest(t, tc.entry, src.Host+"/staging", dst.Host+"/prod")
			out := start(t, "verify", "--manifest="+manifest, "--signature-key="+public).wait(t, runLimit)
			if out.code != 1 || !strings.Contains(out.stdout, tc.want) || !strings.Contains(out.stdout, "1 broken") {
				t.Errorf("got exit code %d, want 1 and a broken chain with %q\n%s", out.code, tc.want, out)
			}
		})
	}
}

// keyFiles writes a key pair, and returns the names of its files.
func keyFiles(t *testing.T) (private, public string) {
	t.Helper()
	key, dir := rt.NewKey(t, "p256"), t.TempDir()
	private, public = filepath.Join(dir, "release.key"), filepath.Join(dir, "release.pub")
	for name, pem := range map[string][]byte{private: key.Private(), public: key.Public()} {
		if err := os.WriteFile(name, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}
