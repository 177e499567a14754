// Package output formats reports, snapshots and other results, and shows progress on a
// terminal. Text and markdown are for people; JSON, YAML, CSV and SARIF for programs.
//
// It never decides what a result contains: it formats values of other packages, always
// in the same order. Text from registries and files is foreign: its invisible characters
// are escaped before people see them (Escape).
package output

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Format is a format of a result on stdout.
type Format string

// The formats. Reports have all of them; snapshots have YAML, CSV and JSON.
const (
	Text     Format = "text"
	JSON     Format = "json"
	YAML     Format = "yaml"
	CSV      Format = "csv"
	Markdown Format = "markdown"
)

// ReportFormat parses the format of a report, in any case. The default is Text.
func ReportFormat(s string) (Format, error) {
	return choose(s, "report", Text, JSON, YAML, CSV, Markdown)
}

// SnapshotFormat parses the format of a snapshot, in any case. The default is YAML.
func SnapshotFormat(s string) (Format, error) {
	return choose(s, "snapshot", YAML, CSV, JSON)
}

// TextOrJSON parses a format that is Text or JSON, in any case. The default is Text.
func TextOrJSON(s, product string) (Format, error) { return choose(s, product, Text, JSON) }

// choose returns the choice with the name s. The default is the first one.
func choose(s, product string, choices ...Format) (Format, error) {
	if s == "" {
		return choices[0], nil
	}
	if f := Format(strings.ToLower(s)); slices.Contains(choices, f) {
		return f, nil
	}
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = string(c)
	}
	last := len(names) - 1
	return "", fmt.Errorf("unknown output format %q of a %s: want %s or %s", s, product, strings.Join(names[:last], ", "), names[last])
}

// WriteReport writes a report. Only Text has colors.
func WriteReport(w io.Writer, r *plan.Report, f Format, color bool) error {
	switch f {
	case Text:
		return writeText(w, r, color, width(w))
	case JSON:
		return WriteJSON(w, complete(r))
	case YAML:
		return writeYAML(w, complete(r))
	case CSV:
		return writeReportCSV(w, r)
	case Markdown:
		return writeMarkdown(w, r)
	}
	return fmt.Errorf("a report has no output format %q", f)
}

// WriteSnapshot writes a snapshot, sorted.
func WriteSnapshot(w io.Writer, s inventory.Snapshot, f Format) error {
	s = slices.Clone(s).Sort()
	switch f {
	case YAML:
		return writeSnapshotYAML(w, s)
	case CSV:
		return writeSnapshotCSV(w, s)
	case JSON:
		return writeSnapshotJSON(w, s)
	}
	return fmt.Errorf("a snapshot has no output format %q", f)
}

// buffer is a buffered writer. It keeps its first error, which Flush returns.
type buffer struct{ *bufio.Writer }

func newBuffer(w io.Writer) buffer { return buffer{bufio.NewWriter(w)} }

func (b buffer) put(parts ...string) {
	for _, s := range parts {
		_, _ = b.WriteString(s)
	}
}
