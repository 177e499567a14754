package load

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// TestFile reads up to the bound and no further, of files that do not say how
// large they are, too; what cannot be read names the file.
func TestFile(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	tests := map[string]struct {
		size int // -1: no file
		want string
	}{
		"empty":        {0, ""},
		"at the bound": {most, ""},
		"over it":      {most + 1, "f is larger than 1 MiB"},
		"no file":      {-1, "f: no such file"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "f")
			if tc.size >= 0 {
				if err := os.WriteFile(file, make([]byte, tc.size), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := File(file, most)
			if tc.want == "" {
				if err != nil || len(raw) != tc.size {
					t.Errorf("got %d bytes, %v, want %d", len(raw), err, tc.size)
				}
				return
			}
			if raw != nil || err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), filepath.Dir(file)) {
				t.Errorf("got %d bytes, %v, want none, and an error with %q and the directory", len(raw), err, tc.want)
			}
		})
	}
}

// TestStream returns nothing of a stream that breaks.
func TestStream(t *testing.T) {
	t.Parallel()
	raw, err := Stream(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))), "standard input", 10)
	if raw != nil || err == nil {
		t.Errorf("got %q, %v, want an error", raw, err)
	}
}
