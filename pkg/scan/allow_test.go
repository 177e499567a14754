package scan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

func TestWaivers(t *testing.T) {
	t.Parallel()
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	tests := map[string]struct {
		text   string
		errors []string // "line:column: message"
	}{
		"none":          {"# nothing is accepted\n", nil},
		"unknown key":   {"- {id: CVE-1, until: 2026-03-31, reason: x, cve: CVE-2}\n", []string{`1:45: a waiver: unknown key "cve"`}},
		"no reason":     {"- {id: CVE-1, until: 2026-03-31}\n", []string{"1:3: a waiver without reason"}},
		"empty reason":  {"- {id: CVE-1, until: 2026-03-31, reason: ''}\n", []string{"1:34: a waiver without reason: it is empty"}},
		"no until":      {"- {id: CVE-1, reason: x}\n", []string{"1:3: a waiver without until"}},
		"no date":       {"- {id: CVE-1, until: soon, reason: x}\n", []string{`1:22: bad until "soon": want a date such as 2006-01-02`}},
		"a time":        {"- {id: CVE-1, until: 2026-03-31T00:00:00Z, reason: x}\n", []string{`1:22: bad until "2026-03-31T00:00:00Z"`}},
		"no such day":   {"- {id: CVE-1, until: 2026-02-30, reason: x}\n", []string{`1:22: bad until "2026-02-30"`}},
		"everything":    {"- {until: 2026-03-31, reason: x}\n", []string{"1:3: a waiver without id, package and digest"}},
		"an empty id":   {"- {id: '', until: 2026-03-31, reason: x}\n", []string{"1:4: a waiver without id: it is empty"}},
		"a bad digest":  {"- {digest: sha256:a, until: 2026-03-31, reason: x}\n", []string{"1:12: bad digest"}},
		"not a list":    {"id: CVE-1\n", []string{"1:1: a list of waivers: want a list, found a mapping"}},
		"several":       {"- {id: a}\n- x\n", []string{"1:3: a waiver without reason", "1:3: a waiver without until", "2:3: a waiver: want a mapping"}},
		"duplicate key": {"- {id: a, id: b, until: 2026-03-31, reason: x}\n", []string{`1:11: duplicate key "id"`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "allow.yaml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Waivers(file)
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(tc.errors) {
				t.Fatalf("got %q, want %q", got, tc.errors)
			}
			for i, want := range tc.errors {
				if !strings.HasPrefix(got[i], file+":"+want) {
					t.Errorf("got %q, want %s:%s", got[i], file, want)
				}
			}
		})
	}
	t.Run("good", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "allow.yaml")
		if err := os.WriteFile(file, []byte("- id: CVE-1\n  until: 2026-03-31\n  reason: not reachable\n- {package: zlib, digest: '"+digest+"', until: '2026-04-01', reason: x}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		want := []check.Waiver{
			{ID: "CVE-1", Until: time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC), Reason: "not reachable", Pos: yamlread.Pos{File: file, Line: 1, Column: 3}},
			{Package: "zlib", Digest: digest, Until: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Reason: "x", Pos: yamlread.Pos{File: file, Line: 4, Column: 3}},
		}
		got, err := Waivers(file)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("waivers (-want +got):\n%s%v", diff, err)
		}
	})
	if _, err := Waivers(filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("got no error for a file that does not exist, want one")
	}
}
