// Package output encodes what cip produces, reports and snapshots, and shows on a
// terminal how far a run is.
//
// It holds the forms of the contract: text and markdown for people, json, yaml and
// csv for programs. It decides nothing: what a report says is package plan's, what
// a snapshot holds is package inventory's. Text that comes from registries and files
// is foreign: wherever it is printed for people, what cannot be seen is escaped
// (Escape). The forms are deterministic, and nothing here logs.
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

// Format is the form of a product on stdout.
type Format string

// The formats. Reports have them all, snapshots have YAML, CSV and JSON.
const (
	Text     Format = "text"
	JSON     Format = "json"
	YAML     Format = "yaml"
	CSV      Format = "csv"
	Markdown Format = "markdown"
)

// ReportFormat returns the format of a report called s, in upper or lower case; Text if s is empty.
func ReportFormat(s string) (Format, error) {
	return choose(s, "report", Text, JSON, YAML, CSV, Markdown)
}

// SnapshotFormat returns the format of a snapshot called s, in upper or lower case; YAML if s is empty.
func SnapshotFormat(s string) (Format, error) {
	return choose(s, "snapshot", YAML, CSV, JSON)
}

// TextOrJSON returns the format of a product that has two, called s, in upper or lower case; Text if s is empty.
func TextOrJSON(s, product string) (Format, error) { return choose(s, product, Text, JSON) }

// choose returns the choice called s; the first one if s is empty.
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

// WriteReport writes a report. Color is for Text alone.
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

// WriteSnapshot writes a snapshot, in order.
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

// buffer gathers what is written. Its first error stays, and Flush tells it.
type buffer struct{ *bufio.Writer }

func newBuffer(w io.Writer) buffer { return buffer{bufio.NewWriter(w)} }

func (b buffer) put(parts ...string) {
	for _, s := range parts {
		_, _ = b.WriteString(s)
	}
}
