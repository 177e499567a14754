package output

import (
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// WriteFileDiff writes the change of a file as a unified diff. A nil before is a file that
// does not exist yet. Characters that are invisible or that CI systems read as commands
// are escaped.
func WriteFileDiff(w io.Writer, name string, before, after []byte, color bool) error {
	from := name
	if before == nil {
		from = "/dev/null"
	}
	lines := escapeLines(diff.Diff(from, before, name, after))
	if !color {
		_, err := w.Write(lines)
		return err
	}
	t := palette(color)
	var b strings.Builder
	n := 0
	for line := range strings.Lines(string(lines)) {
		rest := strings.TrimSuffix(line, "\n")
		paint := ""
		switch {
		case n < diffHead: // "--- a" and "+++ b" are not of the file
		case strings.HasPrefix(rest, "+"):
			paint = green
		case strings.HasPrefix(rest, "-"):
			paint = red
		}
		b.WriteString(t.paint(paint, rest) + line[len(rest):])
		n++
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// diffHead is the number of lines before the first change of a diff.
const diffHead = 3
