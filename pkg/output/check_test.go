package output

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// named is a rule that says nothing.
type named string

func (n named) Describe() check.Description {
	return check.Description{Name: string(n), About: "what " + string(n) + " says", Reach: check.Files}
}
func (named) Check(context.Context, *check.Input) []check.Finding { return nil }

func checked() *CheckReport {
	apple := check.Image{Digest: image.Hash(digest("1")), Tags: []string{"1.0"}, Destinations: []name.Repository{image.NewRepository("d.io", "prod/apple")}}
	at := func(line int32) manifest.Pos { return manifest.Pos{File: "top/images/a b.yaml", Line: line, Column: 3} }
	return &CheckReport{
		Manifests: plan.Origin{Path: "top", Digest: digest("9")}, Base: "4ed8c31a0a6e9d1f6f9a1d5c1f0b4d7c2e3f4a5b",
		Rules: []check.Rule{named("valid"), named("size")}, Idle: []check.Idle{{Name: "signature", Why: "no key"}, {Name: "tags", Why: "offline"}, {Name: "exists", Why: "no key"}},
		Findings: []check.Finding{
			{Rule: "valid", Level: check.Error, Pos: manifest.Pos{File: "top/m.yaml"}, Message: "empty"},
			{Rule: "size", Level: check.Error, Pos: at(4), Message: "too large", Image: apple},
			{Rule: "size", Level: check.Failed, Pos: at(5), Message: "reading: 401", Places: []check.Place{{Pos: at(5)}, {Pos: at(7), Digest: image.Hash(digest("2")), Tag: "2.0"}}},
			{Rule: "valid", Level: check.Note, Pos: at(6), Message: "null dmap"},
		},
		URI: func(file string) string { return "repo/" + file },
	}
}

func writtenCheck(t *testing.T, r *CheckReport, f Format) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteCheck(&b, r, f, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	equal(t, writtenCheck(t, checked(), Text), `top/m.yaml: valid: empty
top/images/a b.yaml:4: size: too large
top/images/a b.yaml:5: size: not checked: reading: 401
top/images/a b.yaml:6: valid: note: null dmap
skipped signature, exists: no key
skipped tags: offline
2 findings, 1 not checked, 1 note, 2 rules run, 3 rules skipped
`)
	equal(t, writtenCheck(t, &CheckReport{}, Text), "no findings\n")
}

func TestCheckMarkdown(t *testing.T) {
	t.Parallel()
	r := checked()
	refused := item("copy", "refused", "s.io/stage/apple", "d.io/prod/apple", digest("1"), "1.0")
	refused.Error = "size: too large"
	r.Plan = &plan.Report{DryRun: true, Summary: plan.Summary{Copy: 2}, Warnings: []string{"careful"}, Items: []plan.ReportItem{
		refused, item("copy", "planned", "s.io/stage/pear", "d.io/prod/pear", digest("2")),
	}}
	equal(t, writtenCheck(t, r, Markdown), strings.ReplaceAll(`### cip check: 2 findings, 1 not checked; 1 tag to promote, 1 refused or failed ('top', since '4ed8c31a0a6e')

2 findings, 1 not checked, 1 note, 2 rules run, 3 rules skipped

#### Findings

| place | rule | finding |
| --- | --- | --- |
| 'top/m.yaml' | valid | 'empty' |
| 'top/images/a b.yaml:4' | size | 'too large' |
| 'top/images/a b.yaml:5' | size | 'not checked: reading: 401' |

#### Plan: Dry run: 1 to copy; 1 refused; 1 warning; nothing was written.

#### Refused, failed or skipped

| action | status | destination | tag | digest | source | wanted by | reason |
| --- | --- | --- | --- | --- | --- | --- | --- |
| copy | refused | 'd.io/prod/apple' | '1.0' | '`+digest("1")+`' | 's.io/stage/apple' |  | 'size: too large' |

#### Everything else

| action | status | destination | tag | digest | source | wanted by |
| --- | --- | --- | --- | --- | --- | --- |
| copy | planned | 'd.io/prod/pear' | (by digest) | 'sha256:222222222222' | 's.io/stage/pear' |  |

<details><summary>1 note</summary>

| place | rule | finding |
| --- | --- | --- |
| 'top/images/a b.yaml:6' | valid | 'note: null dmap' |

</details>

<details><summary>1 warning</summary>

- 'careful'

</details>

<details><summary>3 rules skipped</summary>

- signature, exists: 'no key'
- tags: 'offline'

</details>
`, "'", "`"))
}

func TestCheckMarkdownOfNothing(t *testing.T) {
	t.Parallel()
	r := &CheckReport{Manifests: plan.Origin{Path: "top"}, Base: "main", Plan: &plan.Report{DryRun: true}}
	equal(t, writtenCheck(t, r, Markdown), "### cip check: no findings; nothing to promote (`top`, since `main`)\n\nno findings\n\n#### Plan: Nothing to do.\n")
}

// TestCheckIsOneComment holds that a check of a large change fits into one comment.
func TestCheckIsOneComment(t *testing.T) {
	t.Parallel()
	r := checked()
	for i := range 3000 {
		to := fmt.Sprintf("d.io/prod/image-%d", i)
		r.Findings = append(r.Findings,
			check.Finding{Rule: "removal", Level: check.Error, Message: fmt.Sprintf("tag v%d was removed from %s", i, to)},
			check.Finding{Rule: "valid", Level: check.Error, Message: fmt.Sprintf("bad digest %d", i)},
			check.Finding{Rule: "exists", Level: check.Note, Message: strings.Repeat("x ", i%200)})
	}
	r.Plan = unreachable()
	r.Plan.Summary.Copy = 3000
	r.Plan.Warnings = slices.Repeat([]string{strings.Repeat("w", 900)}, 200)
	for i := range 3000 {
		r.Plan.Items = append(r.Plan.Items, item("copy", "planned", "s.io/a", fmt.Sprintf("d.io/prod/image-%d", i), digest("3"), "1"))
	}
	got := writtenCheck(t, r, Markdown)
	if len(got) > pageSize {
		t.Errorf("got %d bytes, want up to %d", len(got), pageSize)
	}
	equal(t, strings.Count(got, "</details>"), strings.Count(got, "<details>"))
	equal(t, strings.Count(got, "was removed from"), maxExamples)
	for _, part := range []string{"### cip check: 6002 findings, 1 not checked; 3000 tags to promote, 63000 refused or failed (`top`", "… and 2995 more such findings |", "#### Plan: Dry run: 3000 to copy; 63000 unknown", "| copy | planned |"} {
		if !strings.Contains(got, part) {
			t.Errorf("got no %q, want it in\n%.3000s", part, got)
		}
	}
	text := writtenCheck(t, r, Text)
	equal(t, strings.Count(text, "removal: "), maxExamples)
	equal(t, strings.Count(text, "valid: bad digest"), 3000)
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	var got checkDocument
	if err := json.Unmarshal([]byte(writtenCheck(t, checked(), JSON)), &got); err != nil {
		t.Fatal(err)
	}
	got.Findings = got.Findings[1:3]
	want := checkDocument{
		Version: checkVersion, Manifests: plan.Origin{Path: "top", Digest: digest("9")}, Base: "4ed8c31a0a6e9d1f6f9a1d5c1f0b4d7c2e3f4a5b",
		Summary: checkSummary{Findings: 2, NotChecked: 1, Notes: 1},
		Rules:   []checkRule{{"valid", true, ""}, {"size", true, ""}, {"signature", false, "no key"}, {"tags", false, "offline"}, {"exists", false, "no key"}},
		Findings: []checkFinding{{
			Rule: "size", Level: "error", File: "top/images/a b.yaml", Line: 4, Column: 3, Message: "too large",
			Digest: digest("1"), Tags: []string{"1.0"}, Destinations: []string{"d.io/prod/apple"},
		}, {
			Rule: "size", Level: "failed", File: "top/images/a b.yaml", Line: 5, Column: 3, Message: "reading: 401", Tags: []string{}, Destinations: []string{},
			Places: []checkPlace{{File: "top/images/a b.yaml", Line: 5, Column: 3}, {File: "top/images/a b.yaml", Line: 7, Column: 3, Digest: digest("2"), Tag: "2.0"}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	if empty := writtenCheck(t, &CheckReport{}, JSON); strings.Contains(empty, "null") {
		t.Errorf("got null, want none in\n%s", empty)
	}
}

// TestCheckSARIF holds what GitHub demands of code scanning results.
func TestCheckSARIF(t *testing.T) {
	t.Parallel()
	var got sarifLog
	text := writtenCheck(t, checked(), SARIF)
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "2.1.0" || got.Schema == "" || len(got.Runs) != 1 {
		t.Fatalf("got %+v, want version 2.1.0, a schema and one run", got)
	}
	run := got.Runs[0]
	levels, places, prints := []string{}, []sarifPhysical{}, map[string]bool{}
	for _, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.Message.Text == "" || len(r.Locations) != 1 {
			t.Errorf("got result %+v, want the identifier of its rule, a text and one location", r)
		}
		levels = append(levels, r.Level)
		places = append(places, r.Locations[0].Physical)
		for _, also := range r.Related {
			places = append(places, also.Physical)
		}
		prints[r.Fingerprints["primaryLocationLineHash"]] = true
	}
	if diff := cmp.Diff([]string{"error", "error", "error", "note"}, levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}
	uri := sarifArtifact{"repo/top/images/a%20b.yaml", "%SRCROOT%"}
	want := []sarifPhysical{
		{sarifArtifact{"repo/top/m.yaml", "%SRCROOT%"}, sarifRegion{1, 0}}, {uri, sarifRegion{4, 3}}, {uri, sarifRegion{5, 3}}, {uri, sarifRegion{7, 3}}, {uri, sarifRegion{6, 3}},
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if len(prints) != 4 || run.Invocations[0].Successful || len(run.Invocations[0].Notifications) != 3 {
		t.Errorf("got fingerprints %v, invocations %+v, want 4, and a failed one with 3 notifications", prints, run.Invocations)
	}
	moved := checked()
	moved.Findings[1].Pos.Line = 40
	if fingerprint(moved.Findings[1]) != fingerprint(checked().Findings[1]) {
		t.Errorf("got %v of a finding that moved within its file, want %v", fingerprint(moved.Findings[1]), fingerprint(checked().Findings[1]))
	}
	if empty := writtenCheck(t, &CheckReport{}, SARIF); strings.Contains(empty, "null") || !strings.Contains(empty, `"executionSuccessful": true`) {
		t.Errorf("empty check: got null or a failed execution, want neither in\n%s", empty)
	}
}

// TestCheckForeign keeps foreign text on its line and in its cell.
// TestCheckSARIFMany holds that many findings, and such that say the same, are taken as what they are.
func TestCheckSARIFMany(t *testing.T) {
	t.Parallel()
	r := checked()
	r.Findings = nil
	for i := range maxSARIF + 2 {
		level := check.Note
		if i == maxSARIF+1 {
			level = check.Error
		}
		r.Findings = append(r.Findings, check.Finding{Rule: "valid", Level: level, Pos: manifest.Pos{File: "m.yaml", Line: int32(i + 1)}, Message: "see [this](https://e.example)"})
	}
	log := r.sarif()
	results, notes := log.Runs[0].Results, log.Runs[0].Invocations[0].Notifications
	if len(results) != maxSARIF || results[0].Level != "error" || !strings.HasPrefix(notes[len(notes)-1].Message.Text, "2 of 25002 findings are left out") {
		t.Errorf("got %d results, the first of level %s, notifications %v, want %d, error, and 2 left out", len(results), results[0].Level, notes, maxSARIF)
	}
	prints := map[string]bool{}
	for _, result := range results {
		prints[result.Fingerprints["primaryLocationLineHash"]] = true
		if strings.Contains(result.Message.Text, "](") {
			t.Fatalf("got a link, want none in %q", result.Message.Text)
		}
	}
	if len(prints) != maxSARIF {
		t.Errorf("got %d fingerprints, want %d", len(prints), maxSARIF)
	}
}

func TestCheckForeign(t *testing.T) {
	t.Parallel()
	r := checked()
	r.Findings = r.Findings[:1]
	r.Findings[0].Message = "a\x1b[31m\nb | `c` <img>"
	r.Findings[0].Pos.File = "x\n::error::y"
	if got := writtenCheck(t, r, Text); strings.Count(got, "\n") != 4 || strings.Contains(got, "\x1b") {
		t.Errorf("text: got %d lines, want 4 without control characters\n%q", strings.Count(got, "\n"), got)
	}
	if got := writtenCheck(t, r, Markdown); strings.Contains(got, "<img>") || strings.Contains(got, "\x1b") || strings.Contains(got, "\n::error") {
		t.Errorf("markdown: got markup, control characters or a command, want them escaped in\n%q", got)
	}
	for range 2000 {
		r.Findings = append(r.Findings, r.Findings[0])
	}
	if got := writtenCheck(t, r, Markdown); len(got) > 65_536 || !strings.Contains(got, "more findings") {
		t.Errorf("got %d bytes of markdown, want 65536 at most, with the number of more findings", len(got))
	}
}
