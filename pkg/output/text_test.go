package output

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func asText(t *testing.T, r *plan.Report, width int) string {
	t.Helper()
	return written(t, func(w io.Writer) error { return writeText(w, r, false, width) })
}

// dryRun is a dry run that found every action.
func dryRun() *plan.Report {
	signature := item("copy", "planned", "s.io/stage/apple", "d.io/prod/apple", digest("9"), "sha256-aa.sig")
	signature.Kind = "referrer"
	unread := `reading d.io/prod/fig: 403 DENIED: permission "read" denied`
	return &plan.Report{
		DryRun:  true,
		Summary: plan.Summary{UpToDate: 12, Copy: 4, Tag: 1, Move: 1, Conflict: 1, Missing: 2, Invalid: 1, Unknown: 2, Failed: 2},
		Items: []plan.ReportItem{
			item("copy", "planned", "s.io/stage/apple", "d.io/prod/apple", digest("1"), "1.0", "1.0.0", "latest"),
			item("copy", "planned", "s.io/stage/apple", "d.io/prod/apple", digest("2")),
			was(item("move", "planned", "s.io/stage/apple", "d.io/prod/apple", digest("3"), "edge"), digest("4")),
			because(was(item("conflict", "refused", "s.io/stage/apple", "d.io/prod/apple", digest("5"), "0.9"), digest("6")),
				"tag points to "+digest("6")+" and may not move"),
			signature,
			because(item("missing", "refused", "s.io/stage/apple", "d.io/prod/apple", digest("7"), "0.1", "0.1.0"),
				"neither source nor destination holds the digest"),
			because(item("unknown", "failed", "s.io/stage/fig", "d.io/prod/fig", digest("a"), "1"), unread),
			because(item("unknown", "failed", "s.io/stage/fig", "d.io/prod/fig", digest("b"), "2"), unread),
			item("tag", "planned", "s.io/stage/pear", "e.io/pear", digest("8"), "stable"),
			because(item("invalid", "refused", "s.io/stage/pear", "e.io/pear", "sha256:abc", "2.0"), `images/pear/images.yaml:3:5: bad digest "sha256:abc"`),
		},
		Faults:   []plan.ReportFault{{File: "images/pear/images.yaml", Line: 3, Column: 5, Message: `bad digest "sha256:abc"`}, {File: "m.yaml", Message: "empty"}},
		Warnings: []string{"w"},
		Estimate: map[string]plan.Estimate{"s.io": {Requests: 9, Bytes: 3 << 20}, "registry.d.io": {Requests: 1, AtLeast: true}},
	}
}

func TestTextDryRun(t *testing.T) {
	t.Parallel()
	equal(t, asText(t, dryRun(), 80), `d.io/prod/apple from s.io/stage/apple
  copy      planned  sha256:111111111111  1.0, 1.0.0, latest
  copy      planned  sha256:222222222222  (by digest)
  move      planned  sha256:333333333333  edge (was sha256:444444444444)
  copy      planned  sha256:999999999999  sha256-aa.sig (referrer)

e.io/pear from s.io/stage/pear
  tag       planned  sha256:888888888888  stable

refused: tag points to
  `+digest("6")+` and
  may not move
  d.io/prod/apple from s.io/stage/apple
    conflict  refused  sha256:555555555555  0.9
      `+digest("5")+`

refused: neither source nor destination holds the digest
  d.io/prod/apple from s.io/stage/apple
    missing   refused  sha256:777777777777  0.1, 0.1.0
      `+digest("7")+`

failed: reading d.io/prod/fig: 403 DENIED: permission "read" denied (2 tags in 1
  repository)
  d.io/prod/fig from s.io/stage/fig
    unknown   failed   sha256:aaaaaaaaaaaa  1
    unknown   failed   sha256:bbbbbbbbbbbb  2

refused: errors in the manifests, see above
  e.io/pear from s.io/stage/pear
    invalid   refused  sha256:abc           2.0

Estimate of the real run:
  registry.d.io  at least 1 request, 0 B
  s.io           9 requests, 3.0 MiB

Dry run: 4 to copy, 1 to tag, 1 to move, 1 referrer to copy; 12 up to date; 1 conflict, 2 missing, 1 invalid, 2 unknown; `+
		`2 errors in the manifests, 1 warning; nothing was written. Add --confirm to carry it out.
`)
}

func TestTextEvidence(t *testing.T) {
	t.Parallel()
	carried := ofKind(item("attest", "done", "s.io/a", "d.io/a", digest("1")), plan.Evidence, plan.CarriedAttestation)
	carried.Source = "s.io/a@" + digest("2")
	r := &plan.Report{Summary: plan.Summary{Copy: 1}, Items: []plan.ReportItem{
		item("copy", "done", "s.io/a", "d.io/a", digest("1"), "1"),
		carried,
		because(ofKind(item("attest", "failed", "", "d.io/a", digest("1")), plan.Evidence, plan.PromotionRecord), "signing the record: no"),
		because(ofKind(item("attest", "failed", "", "d.io/b", digest("1")), plan.Evidence, plan.PromotionRecord), "signing the record: no"),
		because(ofKind(item("attest", "skipped", "", "d.io/c", digest("1")), plan.Evidence, plan.VerificationSummary), "interrupted"),
	}}
	equal(t, asText(t, r, 80), `d.io/a from s.io/a
  copy      done     sha256:111111111111  1
  attest    done     sha256:111111111111  attestation
                                          (from s.io/a@sha256:222222222222)

failed: signing the record: no (2 pieces of evidence in 2 repositories)
  d.io/a
    attest    failed   sha256:111111111111  record
  d.io/b
    attest    failed   sha256:111111111111  record

skipped: interrupted
  d.io/c
    attest    skipped  sha256:111111111111  summary

Interrupted: 1 copied, 1 piece of evidence written; 2 pieces of evidence failed, 1 piece of evidence skipped.
`)
}

// Every item names who wants it, also where the line above has the same place.
func TestTextNamesEveryPlace(t *testing.T) {
	t.Parallel()
	r := &plan.Report{DryRun: true, Summary: plan.Summary{Copy: 1, Tag: 1}, Items: []plan.ReportItem{
		item("copy", "planned", "s.io/stage/apple", "d.io/prod/apple", digest("1"), "1.0"),
		item("tag", "planned", "s.io/stage/apple", "d.io/prod/apple", digest("2"), "1.1"),
	}}
	for i := range r.Items {
		r.Items[i].WantedBy = []string{"images/apple/images.yaml:3:5", "images/pear/images.yaml:7:5"}
	}
	equal(t, asText(t, r, 80), `d.io/prod/apple from s.io/stage/apple
  copy      planned  sha256:111111111111  1.0 (images/apple/images.yaml:3)
  tag       planned  sha256:222222222222  1.1 (images/apple/images.yaml:3)

Dry run: 1 to copy, 1 to tag; nothing was written. Add --confirm to carry it out.
`)
}

func TestTextRealRun(t *testing.T) {
	t.Parallel()
	failure := "copying source s.io/a@" + digest("2") + " to d.io/a: putting manifest: 500 UNKNOWN: try\nlater"
	signature := because(item("copy", "failed", "s.io/a", "d.io/a", digest("5"), "sha256-bb.sig"), "reading s.io/a: EOF")
	signature.Kind = "referrer"
	r := &plan.Report{
		Summary: plan.Summary{UpToDate: 3, Copy: 5, Tag: 1, Move: 2, Failed: 2},
		Items: []plan.ReportItem{
			item("copy", "done", "s.io/a", "d.io/a", digest("1"), "1", "2"),
			because(item("copy", "failed", "s.io/a", "d.io/a", digest("2"), "3", "4"), failure),
			because(was(item("move", "refused", "s.io/a", "d.io/a", digest("3"), "edge"), digest("4")),
				"tag edge has moved since it was read: it points to "+digest("6")),
			signature,
			because(item("copy", "skipped", "s.io/b", "d.io/b", digest("7")), "interrupted"),
			because(item("tag", "skipped", "s.io/b", "d.io/b", digest("8"), "x"), "interrupted"),
			was(item("move", "done", "d.io/c", "d.io/c", digest("9"), "y"), digest("1")),
		},
		Requests: map[string]int{"s.io": 40, "d.io": 2}, Bytes: 1536, Seconds: 1.25,
	}
	equal(t, asText(t, r, 80), `d.io/a from s.io/a
  copy      done     sha256:111111111111  1, 2

d.io/c
  move      done     sha256:999999999999  y (was sha256:111111111111)

failed: copying source
  s.io/a@`+digest("2")+`
  to d.io/a: putting manifest: 500 UNKNOWN: try\nlater
  d.io/a from s.io/a
    copy      failed   sha256:222222222222  3, 4

refused: tag edge has moved since it was read: it points to
  `+digest("6")+`
  d.io/a from s.io/a
    move      refused  sha256:333333333333  edge (was sha256:444444444444)
      `+digest("3")+`

failed: reading s.io/a: EOF
  d.io/a from s.io/a
    copy      failed   sha256:555555555555  sha256-bb.sig (referrer)

skipped: interrupted (2 tags in 1 repository)
  d.io/b from s.io/b
    copy      skipped  sha256:777777777777  (by digest)
    tag       skipped  sha256:888888888888  x

Interrupted: 2 copied, 1 moved; 3 up to date; 2 failed, 1 refused, 2 skipped, `+
		`1 referrer refused or failed. 42 requests, 1.5 KiB copied, in 1.2 s.
`)
}

func TestTextLastLine(t *testing.T) {
	t.Parallel()
	refused := because(item("missing", "refused", "s.io/a", "d.io/a", digest("1"), "1"), "neither source nor destination holds the digest")
	estimate := map[string]plan.Estimate{"d.io": {Requests: 4}}
	tests := []struct {
		name   string
		report plan.Report
		want   string
	}{
		{"nothing to do", plan.Report{DryRun: true, Summary: plan.Summary{UpToDate: 12}, Estimate: estimate}, "Nothing to do: 12 up to date."},
		{"nothing done", plan.Report{Summary: plan.Summary{UpToDate: 12}, Requests: map[string]int{"d.io": 4}}, "Nothing to do: 12 up to date."},
		{"nothing at all", plan.Report{}, "Nothing to do."},
		{"nothing changed", plan.Report{DryRun: true, Manifests: plan.Origin{Since: "origin/main"}}, "Nothing changed since origin/main."},
		{"nothing to do since", plan.Report{Manifests: plan.Origin{Since: "HEAD"}, Summary: plan.Summary{UpToDate: 2}}, "Nothing to do: 2 up to date."},
		{"nothing to do, with warnings", plan.Report{Summary: plan.Summary{UpToDate: 1}, Warnings: []string{"a", "b"}}, "Nothing to do: 1 up to date; 2 warnings."},
		{
			"only refused: --confirm would not help", plan.Report{DryRun: true, Summary: plan.Summary{Missing: 1}, Items: []plan.ReportItem{refused}, Estimate: estimate},
			"Dry run: nothing to promote; 1 missing; nothing was written.",
		},
		{
			"only faults", plan.Report{Summary: plan.Summary{UpToDate: 2}, Faults: []plan.ReportFault{{File: "f", Message: "m"}}},
			"Nothing was promoted; 2 up to date; 1 error in the manifests.",
		},
		{
			"a contradiction is one error", plan.Report{Faults: []plan.ReportFault{
				{File: "f", Line: 1, Message: "overlap: f:1 and f:2"}, {File: "f", Line: 2, Message: "overlap: f:1 and f:2"},
			}},
			"Nothing was promoted; 1 error in the manifests.",
		},
		{
			"unknown without items", plan.Report{Summary: plan.Summary{UpToDate: 2, Unknown: 3, Failed: 3}},
			"Nothing was promoted; 2 up to date; 3 unknown.",
		},
		{
			"a finding refuses a copy", plan.Report{DryRun: true, Summary: plan.Summary{Copy: 3}, Items: []plan.ReportItem{
				because(item("copy", "refused", "s.io/a", "d.io/a", digest("1"), "1", "2"), "no signature"),
				item("copy", "planned", "s.io/a", "d.io/a", digest("2"), "3"),
			}},
			"Dry run: 1 to copy; 2 refused; nothing was written. Add --confirm to carry it out.",
		},
		{
			"only a referrer", plan.Report{DryRun: true, Items: []plan.ReportItem{
				{Kind: "referrer", Action: "copy", Status: "planned", Destination: "d.io/a", Digest: digest("1")},
			}},
			"Dry run: 1 referrer to copy; nothing was written. Add --confirm to carry it out.",
		},
		{
			"skipped by --fail-fast", plan.Report{Summary: plan.Summary{Copy: 1, Missing: 1}, Items: []plan.ReportItem{
				refused, because(item("copy", "skipped", "s.io/a", "d.io/a", digest("2"), "3"), "not tried"),
			}},
			"Nothing was promoted; 1 missing, 1 skipped.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lines := strings.Split(asText(t, &tt.report, 80), "\n")
			equal(t, lines[len(lines)-2], tt.want)
			if strings.HasPrefix(tt.want, "Nothing to do") {
				equal(t, len(lines), 2)
			}
		})
	}
}

func TestTextWraps(t *testing.T) {
	t.Parallel()
	var tags []string
	for i := range 9 {
		tags = append(tags, fmt.Sprintf("v1.%d.0-build.7", i))
	}
	tags = append(tags, strings.Repeat("x", 60))
	long := "registry.example.com/a/rather/long/path"
	r := &plan.Report{DryRun: true, Summary: plan.Summary{Copy: 10, Tag: 1}, Items: []plan.ReportItem{
		item("copy", "planned", "s.io/one", long, digest("1"), tags...),
		item("tag", "planned", "s.io/"+long, long, digest("2"), "t"),
		item("copy", "planned", "s.io/"+long, "registry.example.com/z/rather/long/path", digest("2"), "t"),
	}}
	rest := `Dry run: 10 to copy, 1 to tag; nothing was written. Add --confirm to carry it out.
`
	equal(t, asText(t, r, 80), `registry.example.com/a/rather/long/path
  copy      planned  sha256:111111111111  v1.0.0-build.7, v1.1.0-build.7,
                                          v1.2.0-build.7, v1.3.0-build.7,
                                          v1.4.0-build.7, v1.5.0-build.7,
                                          v1.6.0-build.7, v1.7.0-build.7,
                                          v1.8.0-build.7,
                                          xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                                          (from s.io/one)
  tag       planned  sha256:222222222222  t
                                          (from s.io/registry.example.com/a/rather/long/path)

registry.example.com/z/rather/long/path
  from s.io/registry.example.com/a/rather/long/path
  copy      planned  sha256:222222222222  t

`+rest)
	equal(t, asText(t, r, 120), `registry.example.com/a/rather/long/path
  copy      planned  sha256:111111111111  v1.0.0-build.7, v1.1.0-build.7, v1.2.0-build.7, v1.3.0-build.7,
                                          v1.4.0-build.7, v1.5.0-build.7, v1.6.0-build.7, v1.7.0-build.7,
                                          v1.8.0-build.7, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
                                          (from s.io/one)
  tag       planned  sha256:222222222222  t (from s.io/registry.example.com/a/rather/long/path)

registry.example.com/z/rather/long/path from s.io/registry.example.com/a/rather/long/path
  copy      planned  sha256:222222222222  t

`+rest)
}

func TestTextColors(t *testing.T) {
	t.Parallel()
	r := &plan.Report{Items: []plan.ReportItem{
		item("copy", "done", "s.io/a", "d.io/a", digest("1"), "1"),
		item("move", "planned", "s.io/a", "d.io/a", digest("2"), "2"),
		item("tag", "failed", "s.io/a", "d.io/a", digest("3"), "3"),
		item("tag", "skipped", "s.io/a", "d.io/a", digest("4"), "4"),
	}}
	got := written(t, func(w io.Writer) error { return WriteReport(w, r, Text, true) })
	rows, _, _ := strings.Cut(got, "Nothing was promoted")
	equal(t, rows, "d.io/a from s.io/a\n"+
		"  copy      \x1b[32mdone   \x1b[0m  sha256:111111111111  1\n"+
		"  \x1b[33mmove    \x1b[0m  \x1b[33mplanned\x1b[0m  sha256:222222222222  2\n"+
		"\n\x1b[31mfailed\x1b[0m: \n  d.io/a from s.io/a\n    tag       \x1b[31mfailed \x1b[0m  sha256:333333333333  3\n"+
		"\nskipped: \n  d.io/a from s.io/a\n    tag       skipped  sha256:444444444444  4\n\n")
}

func TestTextForeign(t *testing.T) {
	t.Parallel()
	evil := "a\nDry run: 0 to copy\x1b[2J\u202e\u009b"
	it := plan.ReportItem{Action: "invalid", Status: "refused", Source: evil, Destination: evil, Digest: evil, Tags: []string{evil}, PreviousDigest: evil, Error: evil + "!"}
	r := &plan.Report{
		DryRun:   true,
		Items:    []plan.ReportItem{it, because(it, "other"), item("copy", "planned", evil, evil, digest("1"), evil)},
		Faults:   []plan.ReportFault{{File: evil, Line: 1, Message: evil}},
		Estimate: map[string]plan.Estimate{evil: {}},
		Summary:  plan.Summary{Copy: 1},
	}
	shown := `a\nDry run: 0 to copy\x1b[2J\u202e\u009b`
	got := asText(t, r, 80)
	for line := range strings.Lines(got) {
		if line = strings.TrimSuffix(line, "\n"); Escape(line) != line {
			t.Errorf("got %q unescaped, want %q", line, Escape(line))
		}
	}
	equal(t, strings.Count(got, "\nDry run:"), 1)
	equal(t, strings.Count(got, shown), 8)
	equal(t, strings.Contains(got, "  invalid   refused  a\\nDry run: 0 to c…  "+shown), true)
}

func TestShortDigestsDiffer(t *testing.T) {
	t.Parallel()
	a, b := "sha256:"+strings.Repeat("0", 20)+strings.Repeat("a", 44), "sha256:"+strings.Repeat("0", 20)+strings.Repeat("b", 44)
	r := &plan.Report{Items: []plan.ReportItem{
		was(item("move", "done", "s.io/a", "d.io/a", a, "1"), b), item("copy", "done", "s.io/a", "d.io/a", digest("1"), "2"),
	}}
	rows, _, _ := strings.Cut(asText(t, r, 100), "\n\n")
	equal(t, rows, `d.io/a from s.io/a
  move      done     sha256:00000000000000000000a  1 (was sha256:00000000000000000000b)
  copy      done     sha256:111111111111111111111  2`)
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 29: "2.5 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		equal(t, size(n), want)
	}
}
