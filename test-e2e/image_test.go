package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// koVariable names the ko binary. Without it, as in `make test`, the images are not built:
// compiling them for another platform takes a minute. `make test-image` sets it.
const koVariable = "CIP_TEST_KO"

// imagePlatforms are two of the platforms that `make image` builds by default.
var imagePlatforms = []string{"linux/amd64", "linux/arm64"}

// TestImagesPromoteThemselves builds the images of cip and cip-auditor into a staging
// registry, promotes them with cip to two production registries, and runs the result.
func TestImagesPromoteThemselves(t *testing.T) {
	t.Parallel()
	if os.Getenv(koVariable) == "" || registryBinary() == "" {
		t.Skipf("%s or %s is not set", koVariable, registryVariable)
	}
	staging, eu, us := host(distribution(t)), host(distribution(t)), host(distribution(t))
	pushBase(t, staging+"/base:1")
	build := exec.Command("make", "-C", "..", "--no-print-directory", "image", "IMAGE_REPO="+staging+"/cip", "IMAGE_TAG=1.2.3",
		"IMAGE_PLATFORMS="+strings.Join(imagePlatforms, ","), "KO="+os.Getenv(koVariable))
	build.Env = append(os.Environ(), "KO_DEFAULTBASEIMAGE="+staging+"/base:1", "DOCKER_CONFIG="+t.TempDir())
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}

	entries := product(t, 0, "snapshot", staging+"/cip", "--snapshot-tag=1.2.3", "--minimal-snapshot").stdout
	manifest := filepath.Join(t.TempDir(), "cip.yaml")
	text := fmt.Sprintf("registries:\n- {name: %s/cip, src: true}\n- {name: %s/tools}\n- {name: %s/tools}\nimages:\n%s", staging, eu, us, entries)
	if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 0, "--manifest="+manifest, "--confirm")

	for _, program := range []string{"cip", "cip-auditor"} {
		want := index(t, staging+"/cip/"+program+":1.2.3")
		for _, production := range []string{eu, us} {
			got := index(t, production+"/tools/"+program+":1.2.3")
			if got.digest != want.digest {
				t.Errorf("%s in %s: digest %s, want %s", program, production, got.digest, want.digest)
			}
			if diff := cmp.Diff(imagePlatforms, got.platforms); diff != "" {
				t.Errorf("%s in %s: platforms (-want +got):\n%s", program, production, diff)
			}
		}
		printsVersion(t, eu+"/tools/"+program+":1.2.3", program)
	}
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

// pushBase pushes a base image with what cip needs from one: certificates, time zones
// and an account that is not root.
func pushBase(t *testing.T, ref string) {
	t.Helper()
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for name, content := range map[string]string{
		"etc/ssl/certs/ca-certificates.crt": "# none: the test uses loopback registries\n",
		"etc/passwd":                        "nobody:x:65532:65532:nobody:/:/sbin/nologin\n",
		"usr/share/zoneinfo/UTC":            "TZif2",
	} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	base := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range imagePlatforms {
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
		if err != nil {
			t.Fatal(err)
		}
		config := &v1.ConfigFile{OS: platform.OS, Architecture: platform.Architecture, Config: v1.Config{User: "65532"}}
		config.RootFS = v1.RootFS{Type: "layers"}
		if id, err := layer.DiffID(); err == nil {
			config.RootFS.DiffIDs = []v1.Hash{id}
		}
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		base = mutate.AppendManifests(base, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, base); err != nil {
		t.Fatalf("pushing the base: %v", err)
	}
}

type pushedIndex struct {
	digest    v1.Hash
	platforms []string
}

// index reads the digest and the platforms of a tag.
func index(t *testing.T, ref string) pushedIndex {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(tag)
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	digest, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	pushed := pushedIndex{digest: digest}
	for _, d := range m.Manifests {
		pushed.platforms = append(pushed.platforms, d.Platform.String())
	}
	slices.Sort(pushed.platforms)
	return pushed
}

// printsVersion takes the program out of an image for linux/amd64 and runs it.
func printsVersion(t *testing.T, ref, program string) {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
	if err != nil {
		t.Fatalf("reading %s: %v", ref, err)
	}
	files := mutate.Extract(img)
	defer files.Close()
	path := filepath.Join(t.TempDir(), program)
	if err := extract(files, "ko-app/"+program, path); err != nil {
		t.Fatalf("extracting %s from %s: %v", program, ref, err)
	}
	version, err := os.ReadFile("../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	want := program + " " + strings.TrimSpace(string(version)) + " "
	if got, err := exec.Command(path, "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(got), want) {
		t.Errorf("%s --version: error %v, output %q, want it to begin with %q", program, err, got, want)
	}
}

// extract writes the file called name of a tar archive to path.
func extract(archive io.Reader, name, path string) error {
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err != nil {
			return errors.Join(errors.New("no "+name), err)
		}
		if strings.TrimPrefix(h.Name, "/") != name {
			continue
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
}
