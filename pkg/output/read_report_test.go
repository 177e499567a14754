package output_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func planReport() *plan.Report {
	return &plan.Report{
		Version: plan.ReportVersion, DryRun: true,
		Manifests: plan.Origin{Path: "m", Digest: "sha256:1", Since: "main", Base: "abc", Shard: "0/2"},
		Summary:   plan.Summary{UpToDate: 3, Copy: 1},
		Items: []plan.ReportItem{
			{Action: "copy", Status: "planned", Destination: "example.com/a", Digest: "sha256:" + strings.Repeat("a", 64), Tags: []string{"1", "true"}, WantedBy: []string{"m:1:2"}},
			{Kind: "referrer", Action: "copy", Status: "planned", Destination: "example.com/a", Digest: "sha256:" + strings.Repeat("b", 64), Tags: []string{},
				Subject: "sha256:" + strings.Repeat("a", 64), WantedBy: []string{}},
		},
		Faults: []plan.ReportFault{{File: "f", Line: 1, Column: 2, Message: "no\x1b"}}, Warnings: []string{"w"},
		Estimate: map[string]plan.Estimate{"example.com": {Requests: 7}}, Requests: map[string]int{"example.com": 4}, Seconds: 0.5,
	}
}

func TestReadReportReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	for _, format := range []output.Format{output.JSON, output.YAML} {
		var b bytes.Buffer
		if err := output.WriteReport(&b, planReport(), format, false); err != nil {
			t.Fatal(err)
		}
		got, err := output.ReadReport(&b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(planReport(), got); diff != "" {
			t.Errorf("%v: (-want +got)\n%s", format, diff)
		}
		if _, err := got.Approve(); err != nil {
			t.Errorf("%v: %v", format, err)
		}
	}
}

func TestReadReportRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "it is empty",
		"null":                      "it is empty",
		"{":                         "parsing the report",
		"{} {}":                     "something after its end",
		`{"version": "1"}`:          "parsing the report",
		"version: 1\nversion: 1\n":  "parsing the report",
		"- a list\n":                "parsing the report",
		"action,status,source\na,b": "parsing the report",
		strings.Repeat("# a comment as long as this one\n", 2<<20): "write the report as JSON",
	} {
		if _, err := output.ReadReport(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %q", text, err, want)
		}
	}
}

// FuzzReadReport: whatever is read can be approved or is refused, and what is approved can be written and read again.
func FuzzReadReport(f *testing.F) {
	for _, format := range []output.Format{output.JSON, output.YAML} {
		var b bytes.Buffer
		if err := output.WriteReport(&b, planReport(), format, false); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte(`{"version":1,"dryRun":true,"promotions":[{"action":"move","status":"planned","tags":null}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		report, err := output.ReadReport(bytes.NewReader(raw))
		if err != nil {
			return
		}
		a, err := report.Approve()
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := output.WriteReport(&b, report, output.JSON, false); err != nil {
			t.Fatal(err)
		}
		again, err := output.ReadReport(&b)
		if err != nil {
			t.Fatal(err)
		}
		other, err := again.Approve()
		if err != nil || !reflect.DeepEqual(other, a) {
			t.Fatalf("written and read again: got %+v (%v), want %+v", other, err, a)
		}
	})
}
