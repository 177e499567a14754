package output

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func encoded(t *testing.T, r *plan.Report, f Format) string {
	t.Helper()
	return written(t, func(w io.Writer) error { return WriteReport(w, r, f, true) })
}

func TestReportJSON(t *testing.T) {
	t.Parallel()
	r := &plan.Report{
		Version: 1, DryRun: true, Manifests: plan.Origin{Path: "m.yaml"}, Summary: plan.Summary{UpToDate: 12, Copy: 1},
		Items:    []plan.ReportItem{because(item("copy", "planned", "s.io/a", "d.io/a", "sha256:aa"), "<&>\x1b\u009b\u202e\U000e0041")},
		Estimate: map[string]plan.Estimate{"s.io": {Requests: 40}, "d.io": {Requests: 1, Bytes: 2, AtLeast: true}},
		Requests: map[string]int{"s.io": 17}, Seconds: 0.4,
	}
	equal(t, encoded(t, r, JSON), `{
  "version": 1,
  "dryRun": true,
  "manifests": {
    "path": "m.yaml"
  },
  "summary": {
    "upToDate": 12,
    "copy": 1,
    "tag": 0,
    "move": 0,
    "conflict": 0,
    "missing": 0,
    "invalid": 0,
    "failed": 0
  },
  "promotions": [
    {
      "action": "copy",
      "status": "planned",
      "source": "s.io/a@sha256:aa",
      "destination": "d.io/a",
      "digest": "sha256:aa",
      "tags": [],
      "previousDigest": "",
      "error": "<&>\u001b\u009b\u202e\udb40\udc41",
      "wantedBy": []
    }
  ],
  "faults": [],
  "warnings": [],
  "estimate": {
    "d.io": {
      "requests": 1,
      "bytes": 2,
      "atLeast": true
    },
    "s.io": {
      "requests": 40,
      "bytes": 0
    }
  },
  "requests": {
    "s.io": 17
  },
  "bytesCopied": 0,
  "durationSeconds": 0.4
}
`)
	if r.Items[0].Tags != nil || r.Faults != nil || r.Warnings != nil {
		t.Errorf("got the report itself changed to %+v, want nil tags, faults and warnings", r)
	}
}

// TestReportTrees checks that json and yaml are the same tree, and the one that was written.
func TestReportTrees(t *testing.T) {
	t.Parallel()
	hostile := &plan.Report{Items: []plan.ReportItem{
		item("copy", "done", "s.io/a", "d.io/a", digest("1"), "1.10", "007", "true", "1e3", "null", "~", "0x10", "no", "2001-01-01", "<<", " a ", "\u202e", "'\"\n"),
		because(item("tag", "failed", "s.io/a", "d.io/a", digest("2")), strings.Repeat("long: words # and 'quotes' ", 20)+"\nand lines\n\n"),
	}, Bytes: 1 << 60}
	for name, r := range map[string]*plan.Report{"dry run": dryRun(), "empty": {}, "hostile": hostile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fromJSON, fromYAML plan.Report
			if err := json.Unmarshal([]byte(encoded(t, r, JSON)), &fromJSON); err != nil {
				t.Fatal(err)
			}
			text := encoded(t, r, YAML)
			if err := yaml.UnmarshalStrict([]byte(text), &fromYAML); err != nil {
				t.Fatal(err)
			}
			equal(t, &fromJSON, complete(r))
			equal(t, &fromYAML, complete(r))
			if strings.Contains(text, "null\n") {
				t.Errorf("got null, want none in\n%s", text)
			}
		})
	}
}

func TestReportCSV(t *testing.T) {
	t.Parallel()
	r := &plan.Report{Items: []plan.ReportItem{
		item("copy", "planned", "s.io/a", "d.io/a", "sha256:aa", "1", "latest"),
		item("tag", "done", "s.io/a", "d.io/a", "sha256:bb"),
		item("invalid", "refused", "s.io/a", "d.io/a", "x,\"y\n\u202e", "a,b"),
		ofKind(item("copy", "done", "s.io/a", "d.io/a", "sha256:cc"), plan.Referrer, 0),
		ofKind(item("attest", "done", "", "d.io/a", "sha256:aa"), plan.Evidence, plan.PromotionRecord),
	}}
	got := encoded(t, r, CSV)
	equal(t, got, `action,status,source,destination,digest,tag
copy,planned,s.io/a@sha256:aa,d.io/a,sha256:aa,1
copy,planned,s.io/a@sha256:aa,d.io/a,sha256:aa,latest
tag,done,s.io/a@sha256:bb,d.io/a,sha256:bb,
invalid,refused,"s.io/a@x,""y\n\u202e",d.io/a,"x,""y\n\u202e","a,b"
copy,done,s.io/a@sha256:cc,d.io/a,sha256:cc,
attest,done,,d.io/a,sha256:aa,
`)
	records, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil || len(records) != 7 {
		t.Errorf("got %d records, error %v, want 7", len(records), err)
	}
	equal(t, encoded(t, &plan.Report{}, CSV), "action,status,source,destination,digest,tag\n")
}
