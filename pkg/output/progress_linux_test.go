package output

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// screen is what a terminal of some columns shows.
type screen struct {
	columns int

	mu    sync.Mutex
	moved sync.Cond
	raw   []byte // all that was written
	rest  []byte // of an incomplete rune or escape sequence
	lines [][]rune
	x, y  int
	ended bool
}

// watch shows what is written to the other end of a terminal.
func watch(us *os.File, columns int) *screen {
	s := &screen{columns: columns, lines: make([][]rune, 1)}
	s.moved.L = &s.mu
	go func() {
		p := make([]byte, 4096)
		for {
			n, err := us.Read(p)
			s.mu.Lock()
			s.raw = append(s.raw, p[:n]...)
			s.show(append(s.rest, p[:n]...))
			s.ended = err != nil // the other end is closed
			s.moved.Broadcast()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *screen) show(b []byte) {
	for len(b) > 0 {
		var up int
		end := strings.IndexAny(string(b), "AJ")
		switch {
		case b[0] == '\x1b' && end < 0, b[0] != '\x1b' && !utf8.FullRune(b):
			s.rest = b
			return
		case b[0] == '\x1b' && b[end] == 'A':
			_, _ = fmt.Sscanf(string(b[:end]), "\x1b[%d", &up)
			s.y = max(0, s.y-up)
			b = b[end+1:]
			continue
		case b[0] == '\x1b':
			s.lines = s.lines[:s.y+1]
			s.lines[s.y] = s.lines[s.y][:min(s.x, len(s.lines[s.y]))]
			b = b[end+1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		s.put(r)
	}
	s.rest = nil
}

func (s *screen) put(r rune) {
	switch r {
	case '\r':
		s.x = 0
		return
	case '\n':
		s.y++
	default:
		if s.x == s.columns {
			s.x = 0
			s.y++
		}
	}
	for len(s.lines) <= s.y {
		s.lines = append(s.lines, nil)
	}
	if r == '\n' {
		return
	}
	line := s.lines[s.y]
	for len(line) <= s.x {
		line = append(line, ' ')
	}
	line[s.x] = r
	s.lines[s.y] = line
	s.x++
}

// await returns the text on the screen as soon as it has all of the parts, or at the end.
func (s *screen) await(t *testing.T, parts ...string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaitIn(t, s.text, parts...)
}

// awaitWritten waits until a text was written, which may have been on the screen only for
// a moment.
func (s *screen) awaitWritten(t *testing.T, part string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitIn(t, func() string { return string(s.raw) }, part)
}

// text returns the text on the screen.
func (s *screen) text() string {
	var text strings.Builder
	for _, line := range s.lines {
		text.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return text.String()
}

// awaitIn returns a text as soon as it has all of the parts, or at the end. The caller
// holds s.mu.
func (s *screen) awaitIn(t *testing.T, text func() string, parts ...string) string {
	t.Helper()
	end := time.AfterFunc(time.Minute, func() { // only if the test fails
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.moved.Broadcast()
	})
	defer end.Stop()
	for {
		got := text()
		missing := parts
		for len(missing) > 0 && strings.Contains(got, missing[0]) {
			missing = missing[1:]
		}
		if s.ended && len(missing) > 0 {
			t.Errorf("%d columns: got no %q, want it in\n%s", s.columns, missing[0], got)
		}
		if s.ended || len(missing) == 0 && len(parts) > 0 {
			return got
		}
		s.moved.Wait()
	}
}

// Bars move, log lines stay above them, ^C does not disturb them, and at the end only the
// log lines and the report remain.
func TestBars(t *testing.T) {
	t.Parallel()
	for _, columns := range []int{40, 80, 120} {
		us, them := pty(t, uint16(columns))
		s := watch(us, columns)
		p := NewProgress(them)
		log := p.Writer(them)
		p.Start("reading repositories", 4)
		p.Step()
		s.await(t, " 25%  1/4")

		var bytes atomic.Int64
		p.SetHosts(func() []HostProgress {
			return []HostProgress{{Host: "eu.example.com", Images: 9}, {Host: "us.example.com", Images: 1, Bytes: 4 << 20, BytesDone: bytes.Load()}}
		})
		p.Start("promoting", 10)
		s.await(t, "promoting ", "eu.example.com", "us.example.com", "0/1 image")
		bytes.Store(3 << 20)
		s.await(t, " 75%")
		_, _ = fmt.Fprintln(log, "warning: one")
		s.await(t, "warning: one\npromoting ")
		if _, err := us.WriteString("\x03"); err != nil {
			t.Fatal(err)
		}
		s.awaitWritten(t, "^C")
		bytes.Store(4 << 20)
		_, _ = fmt.Fprintln(log, "warning: two "+strings.Repeat("x", columns))
		got := s.await(t, "warning: two", "100%")
		if n := strings.Count(got, "promoting"); n != 1 {
			t.Errorf("%d columns: %d lines about the phase, want 1:\n%s", columns, n, got)
		}
		_, _ = fmt.Fprintln(log, "warning: three")
		p.Finish()
		_, _ = fmt.Fprintln(log, "warning: four")
		_, _ = fmt.Fprintln(them, "report")
		_ = them.Close()
		long := []rune("warning: two " + strings.Repeat("x", columns))
		want := "warning: one\n" + string(long[:columns]) + "\n" + string(long[columns:]) + "\nwarning: three\nwarning: four\nreport\n\n"
		if d := cmp.Diff(want, s.await(t)); d != "" {
			t.Errorf("%d columns: at the end (-want +got):\n%s", columns, d)
		}
	}
}

// A phase that ends at once draws nothing.
func TestShortPhase(t *testing.T) {
	t.Parallel()
	us, them := pty(t, 80)
	s := watch(us, 80)
	p := NewProgress(them)
	p.pace = 1 << 62
	for range 3 {
		p.Start("promoting", 0)
		p.Step()
		p.Finish()
	}
	_ = them.Close()
	equal(t, s.await(t), "\n")
}
