package output

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := dryRun()
	r.Items = r.Items[:6]
	r.Items[5].WantedBy = []string{"images/a.yaml:3:14", "images/b.yaml:3:14"}
	r.Summary = plan.Summary{UpToDate: 12, Copy: 4, Move: 1, Conflict: 1, Missing: 2}
	r.Faults, r.Warnings = r.Faults[1:], nil
	r.Manifests = plan.Origin{Path: "registry.k8s.io", Since: "515c6a43"}
	r.Warnings = []string{"a <b>", "c"}
	equal(t, encoded(t, r, Markdown), strings.ReplaceAll(`### 6 tags to promote, 3 refused or failed ('registry.k8s.io', since '515c6a43')

Dry run: 4 to copy, 1 to move, 1 referrer to copy; 12 up to date; 1 conflict, 2 missing; 1 error in the manifests, 2 warnings; nothing was written.

#### Refused, failed or skipped

| action | status | destination | tag | digest | source | wanted by | reason |
| --- | --- | --- | --- | --- | --- | --- | --- |
| conflict | refused | 'd.io/prod/apple' | '0.9' | '`+digest("5")+`' | 's.io/stage/apple' |  | 'tag points to `+digest("6")+` and may not move' |
| missing | refused | 'd.io/prod/apple' | '0.1', '0.1.0' | '`+digest("7")+`' | 's.io/stage/apple' | 'images/a.yaml:3' | 'neither source nor destination holds the digest' |

#### Errors in the manifests

- 'm.yaml: empty'

#### Everything else

| action | status | destination | tag | digest | source | wanted by |
| --- | --- | --- | --- | --- | --- | --- |
| copy | planned | 'd.io/prod/apple' | '1.0', '1.0.0', 'latest' | 'sha256:111111111111' | 's.io/stage/apple' |  |
| copy | planned | 'd.io/prod/apple' | (by digest) | 'sha256:222222222222' | 's.io/stage/apple' |  |
| move | planned | 'd.io/prod/apple' | 'edge' | 'sha256:333333333333' (was 'sha256:444444444444') | 's.io/stage/apple' |  |
| copy (referrer) | planned | 'd.io/prod/apple' | 'sha256-aa.sig' | 'sha256:999999999999' | 's.io/stage/apple' |  |

<details><summary>2 warnings</summary>

- 'a \x3cb>'
- 'c'

</details>
`, "'", "`"))
}

func TestMarkdownShort(t *testing.T) {
	t.Parallel()
	equal(t, encoded(t, &plan.Report{Summary: plan.Summary{UpToDate: 3}}, Markdown), "### Nothing to promote\n\nNothing to do: 3 up to date.\n")
	r := &plan.Report{Summary: plan.Summary{Tag: 25}, Items: []plan.ReportItem{item("tag", "done", "d.io/a", "d.io/a", digest("1"))}}
	var tags []string
	for i := range 25 {
		r.Items[0].Tags = append(r.Items[0].Tags, fmt.Sprint(i))
		if i < 20 {
			tags = append(tags, fmt.Sprintf("`%d`", i))
		}
	}
	equal(t, encoded(t, r, Markdown), `### 25 tags promoted

Promoted: 25 tagged.

| action | status | destination | tag | digest | source | wanted by |
| --- | --- | --- | --- | --- | --- | --- |
| tag | done | `+"`d.io/a` | "+strings.Join(tags, ", ")+", 5 more | `sha256:111111111111` |  |  |\n")
}

// TestMarkdownForeign checks that foreign text stays within its code span and its cell.
func TestMarkdownForeign(t *testing.T) {
	t.Parallel()
	spans := regexp.MustCompile("`[^`\n]+`")
	for _, evil := range []string{
		"a|b", `a\|b`, "a`b", "``", "`", "\\", "a\n\n# b", "a\r| --- |", "<script>alert(1)</script>", "<!--", "<a href='`'>", "@octocat", "#1", "[x](http://y)",
		"https://evil.example", "&lt;&#96;&#124;", "\u202e\u2028\x1b", "![x](y)", "*a*", " ", "\t", strings.Repeat("`|<", 5000), strings.Repeat("é", 5000),
	} {
		it := plan.ReportItem{Action: "invalid", Status: "refused", Source: evil + "s", Destination: evil, Digest: evil, Tags: []string{evil, evil}, PreviousDigest: evil, Error: "not " + evil, WantedBy: []string{evil + ":3:4"}}
		done := it
		done.Status, done.Error = "done", ""
		r := &plan.Report{Items: []plan.ReportItem{it, done}, Faults: []plan.ReportFault{{File: evil, Line: 1, Message: evil}}}
		got := encoded(t, r, Markdown)
		lines := strings.Split(spans.ReplaceAllString(got, "C"), "\n")
		equal(t, lines[1:], []string{
			"", "Nothing was promoted; 1 error in the manifests.",
			"", "#### Refused, failed or skipped", "", "| action | status | destination | tag | digest | source | wanted by | reason |", "| --- | --- | --- | --- | --- | --- | --- | --- |",
			"| invalid | refused | C | C, C | C | C | C | C |",
			"", "#### Errors in the manifests", "", "- C",
			"", "#### Everything else", "", "| action | status | destination | tag | digest | source | wanted by |", "| --- | --- | --- | --- | --- | --- | --- |",
			"| invalid | done | C | C, C | C (was C) | C | C |", "",
		})
		for _, span := range spans.FindAllString(got, -1) {
			if strings.ContainsAny(span, "|<") || Escape(span) != span {
				t.Errorf("got %q unescaped, want %q without | and <", span, Escape(span))
			}
		}
	}
}

func TestMarkdownFits(t *testing.T) {
	t.Parallel()
	items := func(status, text string, n int) (all []plan.ReportItem) {
		for i := range n {
			to := fmt.Sprintf("registry.example.com/prod/image-%d", i)
			all = append(all, because(item("copy", status, "s.io/image", to, digest("1"), "v1.0.0", "v1.0", "latest"), text))
		}
		return all
	}
	faults := make([]plan.ReportFault, 3000)
	for i := range faults {
		faults[i] = plan.ReportFault{File: "images/a/images.yaml", Line: int32(i + 1), Column: 1, Message: "bad digest"}
	}
	var reasons []plan.ReportItem
	for i := range 300 {
		it := items("refused", "because "+strings.Repeat("é|`", 2000), 1)[0]
		it.Error += strings.Repeat("x ", i) // another shape
		reasons = append(reasons, it)
	}
	tests := []struct {
		name   string
		report plan.Report
		cut    []string // what is left out
	}{
		{"many planned", plan.Report{Items: items("planned", "", 2000)}, []string{"planned or done"}},
		{"many reasons", plan.Report{Items: reasons}, []string{"reasons"}},
		{"many of all", plan.Report{Items: append(items("planned", "", 2000), reasons...), Faults: faults}, []string{"reasons", "errors", "planned or done"}},
		{"one reason", plan.Report{Items: append(items("planned", "", 2000), items("failed", "broken", 2000)...), Faults: faults[:5]}, []string{"planned or done"}},
		{"many warnings", plan.Report{Warnings: slices.Repeat([]string{strings.Repeat("w", 900)}, 200)}, []string{"warnings"}},
		{"many planned, a warning", plan.Report{Items: items("planned", "", 2000), Warnings: []string{"w"}}, []string{"planned or done"}},
	}
	more := regexp.MustCompile(`(?m)^… and \d+ more (.*)$`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := encoded(t, &tt.report, Markdown)
			if len(got) > pageSize || len(got) < pageSize-8000 {
				t.Errorf("got %d bytes, want up to %d", len(got), pageSize)
			}
			var cut []string
			for _, m := range more.FindAllStringSubmatch(got, -1) {
				cut = append(cut, m[1])
			}
			equal(t, cut, tt.cut)
			equal(t, strings.Count(got, "</details>"), strings.Count(got, "<details>"))
		})
	}
}
