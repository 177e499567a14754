package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// TestFewOpenFiles promotes images with blobs on disk under small limits of open files.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"32", "64"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			src := rt.New(t)
			var b strings.Builder
			var hosts []string
			dsts := []*rt.Server{rt.New(t), rt.New(t), rt.New(t)}
			for _, dst := range dsts {
				hosts = append(hosts, dst.Host+"/prod")
			}
			images := map[string]rt.Object{}
			for i := range 60 {
				name := fmt.Sprintf("image%d", i)
				images[name] = rt.Image(i+1, 3, rt.LayerSize(300<<10))
				src.Push(t, "staging/"+name, images[name], "build")
				b.WriteString(entry(name, images[name].Digest, "1.0"))
			}
			manifest := writeManifest(t, b.String(), append([]string{src.Host + "/staging"}, hosts...)...)
			p := prepare(t, "run", "--manifest="+manifest, "--confirm")
			p.Args = append([]string{"sh", "-c", `ulimit -n "$1" && shift && exec "$@"`, "sh", limit, p.Path}, p.Args[1:]...)
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Skip("there is no shell here")
			}
			p.Path = sh
			p.begin(t)
			if out := p.wait(t, runLimit); out.code != 0 {
				t.Fatalf("exit code: got %d, want 0\n%s", out.code, out)
			}
			for _, dst := range dsts {
				for name, img := range images {
					for _, what := range wrong(t, dst, "prod/"+name, img, "1.0") {
						t.Errorf("%s: %s", dst.Host, what)
					}
				}
			}
		})
	}
}
