package output

import (
	"io"

	"github.com/rogpeppe/go-internal/diff"
)

// WriteFileDiff writes the change of a file as a unified diff. A nil before is a file that
// does not exist yet. Characters that are invisible or that CI systems read as commands
// are escaped.
func WriteFileDiff(w io.Writer, name string, before, after []byte) error {
	from := name
	if before == nil {
		from = "/dev/null"
	}
	_, err := w.Write(EscapeLines(diff.Diff(from, before, name, after)))
	return err
}
