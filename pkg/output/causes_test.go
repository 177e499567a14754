package output

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// unreachable is a dry run whose destinations cannot be reached: 7 hosts with 3,000
// repositories each, and two digests in each repository.
func unreachable() *plan.Report {
	r := &plan.Report{DryRun: true}
	for host := range 7 {
		for repo := range 3000 {
			to := fmt.Sprintf("r%d.example.com/prod/team-%d/image", host, repo)
			text := fmt.Sprintf("reading destination %s: listing tags: dial tcp 127.0.0.%d:443: connect: connection refused", to, host)
			r.Items = append(r.Items,
				because(item("unknown", "failed", "s.io/image", to, digest("1"), "1.0", "1"), text),
				because(item("unknown", "failed", "s.io/image", to, digest("2"), "2.0"), text))
		}
	}
	r.Summary.Unknown, r.Summary.Failed = 63000, 63000
	return r
}

func TestOneCauseIsReportedOnce(t *testing.T) {
	t.Parallel()
	r := unreachable()
	equal(t, asText(t, r, 80), `failed: reading destination …: listing tags: dial tcp …: connect: connection
  refused (63000 tags in 21000 repositories on 7 hosts)
  r0.example.com/prod/team-0/image from s.io/image
    unknown   failed   sha256:111111111111  1.0, 1
  r1.example.com/prod/team-0/image from s.io/image
    unknown   failed   sha256:111111111111  1.0, 1
  r2.example.com/prod/team-0/image from s.io/image
    unknown   failed   sha256:111111111111  1.0, 1
  r3.example.com/prod/team-0/image from s.io/image
    unknown   failed   sha256:111111111111  1.0, 1
  r4.example.com/prod/team-0/image from s.io/image
    unknown   failed   sha256:111111111111  1.0, 1
    … and 62990 more tags

Dry run: nothing to promote; 63000 unknown; nothing was written.
`)
	want := []Problem{{
		Action: "unknown", Tags: 63000, Repositories: 21000, More: 62990,
		Text: "reading destination …: listing tags: dial tcp …: connect: connection refused (63000 tags in 21000 repositories on 7 hosts)",
		Examples: []string{
			"r0.example.com/prod/team-0/image:1.0,1", "r1.example.com/prod/team-0/image:1.0,1", "r2.example.com/prod/team-0/image:1.0,1",
			"r3.example.com/prod/team-0/image:1.0,1", "r4.example.com/prod/team-0/image:1.0,1",
		},
	}}
	if diff := cmp.Diff(want, Problems(r)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for i := range r.Items {
		it := &r.Items[i]
		it.Status, it.Error = "skipped", "interrupted"
	}
	equal(t, asText(t, r, 80), `skipped: interrupted (63000 tags in 21000 repositories on 7 hosts)

Interrupted: the plan is not complete; 63000 skipped; nothing was written.
`)
	equal(t, len(Problems(r)), 0)
	if got := encoded(t, r, Markdown); strings.Count(got, "\n") > 20 {
		t.Errorf("markdown has %d lines, want up to 20:\n%s", strings.Count(got, "\n"), got)
	}
}

func TestDifferentCausesAreApart(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprint("t", i))
	}
	r := &plan.Report{Faults: []plan.ReportFault{{File: "m.yaml", Line: 3, Column: 1, Message: "bad"}}, Items: []plan.ReportItem{
		because(item("unknown", "failed", "s.io/a", "d.io/a", digest("1"), "1"), "reading destination d.io/a: 401 UNAUTHORIZED: no"),
		because(item("unknown", "failed", "s.io/b", "d.io/b", digest("1"), "1"), "reading destination d.io/b: 403 DENIED: no"),
		because(item("unknown", "failed", "s.io/b", "d.io/c", digest("1"), "1"), "reading source s.io/b: 403 DENIED: no"),
		because(item("conflict", "refused", "s.io/c", "d.io/c", digest("2"), "1"), "tag points to "+digest("3")+" and may not move"),
		because(item("conflict", "refused", "s.io/c", "d.io/d", digest("2"), many...), "tag points to "+digest("4")+" and may not move"),
		because(item("missing", "refused", "s.io/d", "d.io/d", digest("5")), "neither source nor destination holds the digest"),
		because(item("invalid", "refused", "s.io/e", "d.io/e", "bad"), "m.yaml:3:1: bad"),
	}}
	want := []Problem{
		{Action: "unknown", Text: "reading destination d.io/a: 401 UNAUTHORIZED: no", Tags: 1, Repositories: 1},
		{Action: "unknown", Text: "reading destination d.io/b: 403 DENIED: no", Tags: 1, Repositories: 1},
		{Action: "unknown", Text: "reading source s.io/b: 403 DENIED: no (for d.io/c:1)", Tags: 1, Repositories: 1},
		{
			Action: "conflict", Text: "conflict (13 tags in 2 repositories): tag points to … and may not move", Tags: 13, Repositories: 2,
			Examples: []string{"d.io/c:1", "d.io/d:t0,t1,t2,t3,t4,t5,t6,t7,t8,t9,…"},
		},
		{Action: "missing", Text: "missing d.io/d@" + digest("5") + ": neither source nor destination holds the digest", Tags: 1, Repositories: 1},
	}
	if diff := cmp.Diff(want, Problems(r)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	text := asText(t, r, 80)
	for _, part := range []string{"  d.io/d from s.io/c\n    conflict  refused  sha256:222222222222  t0, t1, t2, t3, t4, t5, t6, t7, t8,\n", "t9, … 2 more\n      " + digest("2") + "\n", "refused: errors in the manifests, see above\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("got no %q, want it in\n%s", part, text)
		}
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tag v1 points to sha256:ab and may not move":                      "tag … points to … and may not move",
		"reading source s.io/a@sha256:ab: 404 UNKNOWN: try later":          "reading source …: 404 UNKNOWN: try later",
		`lookup a.example.com on 10.0.0.1:53: no such host`:                `lookup … on …: no such host`,
		`GET "https://a/v2/": HTTP (503) after 1.5s, 3 tries: not "a" now`: `GET …: HTTP (503) after …, … tries: not … now`,
		"": "",
	} {
		if got := Shape(text); got != want {
			t.Errorf("Shape(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFaultsAreSorted(t *testing.T) {
	t.Parallel()
	at := func(file string, line int32, text string) manifest.Fault {
		return manifest.Fault{Pos: manifest.Pos{File: file, Line: line, Column: 1}, Severity: manifest.Refused, Message: text}
	}
	overlap := "overlap: two digests: (b.yaml:2:1) and (b.yaml:10:1)"
	got := Faults([]manifest.Fault{at("b.yaml", 10, overlap), at("c.yaml", 1, "empty"), at("b.yaml", 2, overlap), at("b.yaml", 3, "empty"), at("a.yaml", 9, "empty")})
	want := []manifest.Fault{at("a.yaml", 9, "empty"), at("b.yaml", 2, overlap), at("b.yaml", 3, "empty"), at("c.yaml", 1, "empty")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
