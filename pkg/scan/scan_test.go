package scan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
)

var app = check.Image{
	From:   name.MustParseReference("r.example/app:1").Context(),
	Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)},
}

func TestCommand(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command Command
		want    string
		err     string
	}{
		"report":    {Command{"echo", "{}"}, "{} " + app.Ref() + "\n", ""},
		"failure":   {Command{"sh", "-c", "echo no database >&2; exit 3"}, "", "running sh: exit status 3: no database"},
		"not found": {Command{"/none/scanner"}, "", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.command.Report(t.Context(), app)
			if string(got) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %q, error %v, want %q, error %q", got, err, test.want, test.err)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	for _, file := range []string{app.Digest.String() + ".json", "sha256-" + app.Digest.Hex + ".json"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Directory(dir).Report(t.Context(), app); string(got) != "{}" || err != nil {
			t.Errorf("%s: got %q, error %v, want {}", file, got, err)
		}
	}
	if _, err := Directory(t.TempDir()).Report(t.Context(), app); err == nil || !strings.Contains(err.Error(), "there is no report") {
		t.Errorf("empty directory: got error %v, want that there is no report", err)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	for _, overflow := range []error{nil, full} {
		b := &bounded{limit: 3, overflow: overflow}
		_, err := b.Write([]byte("abcd"))
		if !errors.Is(err, overflow) || string(b.kept) != "abc" || !b.truncated {
			t.Errorf("got %q, truncated %t, error %v, want abc, true, %v", b.kept, b.truncated, err, overflow)
		}
	}
}
