package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command says that stdout is what it could not write to, and says it once.
func TestStdoutFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place(t, dir, map[string]string{
		"plain.yaml":   registries + "images: []\n",
		"tags.json":    `{"labels": {"v1": {"os": "linux"}}}`,
		"regsync.yaml": "version: 1\nsync: []\n",
		"sources.yaml": registries + "images: []\nsources: []\n",
	})
	at := func(name string) string { return filepath.Join(dir, name) }
	closed, err := os.Open(at("plain.yaml")) // that cannot be written to
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closed.Close() })
	for _, args := range [][]string{
		{"run", "--parse-only", "--output=json", "--manifest=" + at("plain.yaml")},
		{"run", "--list-shards=2", "--manifest=" + at("plain.yaml")},
		{"run", "--list-shards=2", "--output=json", "--manifest=" + at("plain.yaml")},
		{"run", "--manifest-based-snapshot-of=r.example/b", "--output=json", "--manifest=" + at("plain.yaml")},
		{"check", "--offline", "--manifest=" + at("plain.yaml")},
		{"resolve", "--output=json", "--manifest=" + at("sources.yaml")},
		{"tags", "list", "--image-tags=" + at("tags.json")},
		{"tags", "verify", "--image-tags=" + at("tags.json")},
		{"import", "regsync", at("regsync.yaml")},
		{"schema"},
		{"version"},
		{"version", "--json"},
		{"kpromo", "version"},
	} {
		var stderr bytes.Buffer
		s := streams{out: stdout{closed}, err: &stderr, getenv: func(string) string { return "" }}
		code := execute(t.Context(), newRootCmd(s), args, s)
		if got := stderr.String(); code != exitFailed || strings.Count(got, "writing to stdout: ") != 1 {
			t.Errorf("cip %s: got exit code %d, %q, want %d and the error once", strings.Join(args, " "), code, got, exitFailed)
		}
	}
}
