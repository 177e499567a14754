package output

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var b strings.Builder
	for _, w := range []interface{ Write([]byte) (int, error) }{f, &b, nil} {
		equal(t, IsTerminal(w), false)
		equal(t, width(w), plainWidth)
		equal(t, NewProgress(w) == nil, true)
	}
}

func TestColor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"no terminal", nil, false},
		{"forced", map[string]string{"CLICOLOR_FORCE": "1", "TERM": "dumb"}, true},
		{"not forced", map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{"forced and forbidden", map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			equal(t, Color(&strings.Builder{}, func(k string) string { return tt.env[k] }), tt.want)
		})
	}
}
