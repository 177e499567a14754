package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/k8s-container-image-promoter/internal/version"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
)

// streams are the streams and the environment of a command. The result goes to out,
// everything else to err.
type streams struct {
	out, err io.Writer
	getenv   func(string) string
	build    version.Build
}

// color reports whether text on stdout has colors.
func (s streams) color() bool { return output.Color(s.out, s.getenv) }

// stdout is the standard output. Its errors say so.
type stdout struct{ file *os.File }

// Write implements io.Writer.
func (s stdout) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	if err != nil {
		err = fmt.Errorf("writing to stdout: %w", err)
	}
	return n, err
}

// Fd returns the file descriptor, by which terminals are known.
func (s stdout) Fd() uintptr { return s.file.Fd() }

// Stat describes the file.
func (s stdout) Stat() (os.FileInfo, error) { return s.file.Stat() }

// session is a command that runs, with its log and progress display.
type session struct {
	streams
	log      *logrus.Logger
	progress *output.Progress
}

// warn logs a warning.
func (s *session) warn(text string) { s.log.Warn(text) }

// logFaults logs faults in the order of files and lines, one line each. A line begins
// with the position of the fault.
func (s *session) logFaults(faults []manifest.Fault) {
	for _, f := range output.Faults(faults) {
		entry := s.log.WithField("place", f.Pos.String())
		if f.Severity == manifest.Warning {
			entry.Warn(f.Pos.String() + ": warning: " + f.Message)
			continue
		}
		entry.Error(f.String())
	}
}

// sameStream reports whether two streams are one: the same terminal, or stderr in stdout.
func sameStream(a, b io.Writer) bool {
	type file interface{ Stat() (os.FileInfo, error) }
	f, ok := a.(file)
	g, also := b.(file)
	if !ok || !also {
		return false
	}
	one, err := f.Stat()
	if err != nil {
		return false
	}
	other, err := g.Stat()
	return err == nil && os.SameFile(one, other)
}

// maxAlike is the number of warnings with one cause that are logged. The report has all.
const maxAlike = 5

// warnings logs warnings: of those that differ only in names and numbers, the first ones.
type warnings struct {
	log logrus.FieldLogger

	mu    sync.Mutex
	alike map[string]int
	order []string // the shapes of which there are too many
}

// warn logs a warning, if there are not too many like it.
func (w *warnings) warn(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.alike == nil {
		w.alike = map[string]int{}
	}
	shape := output.Shape(text)
	w.alike[shape]++
	switch n := w.alike[shape]; {
	case n <= maxAlike:
		w.log.Warn(text)
	case n == maxAlike+1:
		w.order = append(w.order, shape)
	}
}

// end logs the number of warnings that were not logged.
func (w *warnings) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, shape := range w.order {
		w.log.Warnf("%s (%d more)", shape, w.alike[shape]-maxAlike)
	}
}
