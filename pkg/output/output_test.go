package output

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// digest returns a digest all of whose digits are c.
func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// item returns an item whose source is a digest of a repository.
func item(action, status, from, to, digest string, tags ...string) plan.ReportItem {
	return plan.ReportItem{Action: action, Status: status, Source: from + "@" + digest, Destination: to, Digest: digest, Tags: tags}
}

// because gives an item an error.
func because(it plan.ReportItem, text string) plan.ReportItem {
	it.Error = text
	return it
}

// ofKind makes an item one of a kind. Evidence has no source.
func ofKind(it plan.ReportItem, kind plan.Kind, what plan.What) plan.ReportItem {
	it.Kind, it.What = kind.String(), what.String()
	if kind == plan.Evidence {
		it.Source = ""
	}
	return it
}

// was gives an item a previous digest.
func was(it plan.ReportItem, digest string) plan.ReportItem {
	it.PreviousDigest = digest
	return it
}

// written returns what a function writes.
func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// equal fails the test unless got is what is wanted.
func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		report, snapshot Format
		badRep, badSnap  string
	}{
		{name: "", report: Text, snapshot: YAML},
		{name: "json", report: JSON, snapshot: JSON},
		{name: "YAML", report: YAML, snapshot: YAML},
		{name: "Csv", report: CSV, snapshot: CSV},
		{name: "text", report: Text, badSnap: `unknown output format "text" of a snapshot: want yaml, csv or json`},
		{name: "Markdown", report: Markdown, badSnap: `unknown output format "Markdown" of a snapshot: want yaml, csv or json`},
		{
			name:    "x\n",
			badRep:  `unknown output format "x\n" of a report: want text, json, yaml, csv or markdown`,
			badSnap: `unknown output format "x\n" of a snapshot: want yaml, csv or json`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			report, err := ReportFormat(tt.name)
			equal(t, report, tt.report)
			equal(t, said(err), tt.badRep)
			snapshot, err := SnapshotFormat(tt.name)
			equal(t, snapshot, tt.snapshot)
			equal(t, said(err), tt.badSnap)
		})
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// full is a writer without room.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	r := &plan.Report{Items: []plan.ReportItem{item("copy", "planned", "s.io/a", "d.io/a", digest("a"), "1")}}
	s := inventory.Snapshot{{Name: "a", Digests: []inventory.Tagged{{Digest: image.Hash("sha256:aa")}}}}
	for _, f := range []Format{Text, JSON, YAML, CSV, Markdown} {
		if err := WriteReport(full{}, r, f, false); !errors.Is(err, errFull) {
			t.Errorf("report as %s: got error %v, want %v", f, err, errFull)
		}
	}
	for _, f := range []Format{YAML, CSV, JSON} {
		if err := WriteSnapshot(full{}, s, f); !errors.Is(err, errFull) {
			t.Errorf("snapshot as %s: got error %v, want %v", f, err, errFull)
		}
	}
	equal(t, said(WriteReport(io.Discard, r, "xml", false)), `a report has no output format "xml"`)
	equal(t, said(WriteSnapshot(io.Discard, s, Text)), `a snapshot has no output format "text"`)
}

func TestEscape(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"nothing to escape", "gcr.io/a:1 é 世界 …", "gcr.io/a:1 é 世界 …"},
		{"control characters", "a\nb\r\t\x1b[31m\x00\x7f", `a\nb\r\t\x1b[31m\x00\x7f`},
		{"C1 controls", "\u0085\u009b31m", `\u0085\u009b31m`},
		{"bidirectional controls", "a\u202eb\u2066c\u200f", `a\u202eb\u2066c\u200f`},
		{"what has no width or looks like a space", "\u200b\ufeff\u00a0\u2028", `\u200b\ufeff\u00a0\u2028`},
		{"beyond the basic plane", "\U000e0041🙂", `\U000e0041🙂`},
		{"no UTF-8", "a\xffb\xc3", `a\xffb\xc3`},
		{"quotes and backslashes stay", `"a\n'`, `"a\n'`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			equal(t, Escape(tt.in), tt.want)
		})
	}
}
