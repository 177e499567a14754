package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// TestOneCauseIsReportedOnce runs a directory with 3,000 destination repositories
// without the credentials for them: a person reads a page, a program gets everything.
func TestOneCauseIsReportedOnce(t *testing.T) {
	t.Parallel()
	const teams, images, destinations = 30, 10, 10
	reg := rt.New(t, rt.BasicAuth("alice", secret))
	dir := t.TempDir()
	for team := range teams {
		var registries, list strings.Builder
		fmt.Fprintf(&registries, "registries:\n- {name: %s/staging, src: true}\n", reg.Host)
		for d := range destinations {
			fmt.Fprintf(&registries, "- {name: %s/prod-%d/team-%d}\n", reg.Host, d, team)
		}
		for i := range images {
			list.WriteString(entry(fmt.Sprintf("image-%d", i), rt.Image(i, 1).Digest, "1.0", "latest"))
		}
		for file, text := range map[string]string{"manifests/%d/promoter-manifest.yaml": registries.String(), "images/%d/images.yaml": list.String()} {
			path := filepath.Join(dir, fmt.Sprintf(file, team))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, format := range []string{"text", "markdown"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			p := prepare(t, "run", "--thin-manifest-dir="+dir, "--output="+format)
			p.begin(t)
			out := p.wait(t, runLimit)
			if out.code != 1 {
				t.Errorf("exit code %d, want 1", out.code)
			}
			if lines := strings.Count(out.stdout+out.stderr, "\n"); lines > 60 {
				t.Errorf("got %d lines, want up to 60:\n%s", lines, out)
			}
			for what, text := range map[string]string{"stdout": out.stdout, "stderr": out.stderr} {
				if n := strings.Count(text, "401"); n != 1 || !strings.Contains(text, "6000 tags in 3000 repositories") {
					t.Errorf("%s has the reason %d times, want once, with its extent:\n%s", what, n, text)
				}
			}
		})
	}
}

// TestSameStream prints the reasons once where stdout and stderr are one file.
func TestSameStream(t *testing.T) {
	t.Parallel()
	reg := rt.New(t)
	manifest := writeManifest(t, entry("apple", rt.Image(1, 1).Digest, "1.0"), reg.Host+"/staging", reg.Host+"/prod")
	for format, want := range map[string]int{"text": 1, "markdown": 2} {
		p := prepare(t, "run", "--manifest="+manifest, "--output="+format)
		both, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer both.Close()
		p.Stdout, p.Stderr = both, both
		p.begin(t)
		p.wait(t, runLimit)
		log, err := os.ReadFile(both.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(log), "neither source nor destination holds the digest"); got != want {
			t.Errorf("%s: the reason is there %d times, want %d:\n%s", format, got, want, log)
		}
	}
}
