package output

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
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
		equal(t, NewProgress(w, true) == nil, true)
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

func TestProgressSilent(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := NewProgress(&b, true)
	p.Start("reading", 3)
	p.Step()
	p.Finish()
	if w := p.Writer(&b); w != &b {
		t.Errorf("got %T", w)
	}
	equal(t, b.String(), "")
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := &Progress{w: &b}
	p.Step()
	p.Finish()
	p.Start("nothing", 0)
	p.Step()
	p.Finish()
	equal(t, b.String(), "")

	p.Start("reading", 200)
	if got := b.String(); !strings.HasPrefix(got, "\rreading   0% |") || !strings.Contains(got, "(0/200)") {
		t.Errorf("at first: %q", got)
	}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(p.Step)
	}
	wg.Wait()
	p.Step() // one too many
	p.Finish()
	p.Step()
	cleared(t, b.String())

	b.Reset()
	p.Start("promoting", 10)
	p.Step()
	if _, err := p.Writer(&b).Write([]byte("warning: x\n")); err != nil {
		t.Fatal(err)
	}
	if before, _, ok := strings.Cut(b.String(), "warning: x\n"); !ok {
		t.Errorf("no warning in %q", before)
	} else {
		cleared(t, before)
	}
	p.Start("reading", 5)
	p.Finish()
	cleared(t, b.String())
}

// cleared fails the test unless a terminal that was shown s has nothing on its last line.
func cleared(t *testing.T, s string) {
	t.Helper()
	parts := strings.Split(s, "\r")
	if n := len(parts); n < 2 || parts[n-1] != "" || strings.Trim(parts[n-2], " ") != "" {
		t.Errorf("the line is not clear: %q", s)
	}
}
