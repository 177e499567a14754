package output

import (
	"io"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Limits of a markdown report. It must fit in a comment on GitHub, which has up to 65,536 characters.
const (
	pageSize  = 60_000 // bytes in all
	pageEnd   = 500    // bytes kept for what follows a section that was cut short
	cellSize  = 300    // runes of a name
	errorSize = 1_000  // runes of an error
	cellTags  = 20     // tags of an item
)

// page writes a markdown report.
type page struct {
	strings.Builder
	kept int // bytes for what follows
}

// room returns the number of bytes that still fit.
func (p *page) room() int { return pageSize - pageEnd - p.kept - p.Len() }

func writeMarkdown(w io.Writer, r *plan.Report) error {
	var p page
	p.WriteString("### " + capital(outcome(r)) + origin{r.Manifests.Path, r.Manifests.Since}.String() + "\n\n" + summary(r) + "\n")
	p.items(r)
	p.warnings(r.Warnings)
	_, err := io.WriteString(w, p.String())
	return err
}

// outcome returns the numbers that matter: what is promoted, and what is not.
func outcome(r *plan.Report) string {
	t, text := count(r), ""
	good, lost := t.copies+t.tags+t.moves+t.referrers.fine, t.referrers.lost+t.evidence.lost
	for i := range r.Items {
		if it := &r.Items[i]; bad(it) && it.Kind == "" {
			lost += max(1, len(it.Tags))
		}
	}
	switch {
	case good > 0 && r.DryRun:
		text = plural(good, "tag", "tags") + " to promote"
	case good > 0:
		text = plural(good, "tag", "tags") + " promoted"
	case lost == 0 && r.Manifests.Since != "" && idle(r) && r.Summary.UpToDate == 0:
		text = "nothing changed"
	case lost == 0:
		text = "nothing to promote"
	}
	var l list
	if text != "" {
		l = append(l, text)
	}
	l.add(lost, "refused or failed", "refused or failed")
	l.add(t.skipped, "skipped", "skipped")
	return l.String()
}

// capital returns a text with a capital first letter.
func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// commit matches the full name of a git commit, which is shortened for people.
var commit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// origin is where the manifests are, and the revision that they are compared with.
type origin struct{ path, since string }

// String returns the origin in parentheses.
func (o origin) String() string {
	var l list
	if o.path != "" {
		l = append(l, code(o.path, cellSize))
	}
	if o.since != "" {
		since := o.since
		if commit.MatchString(since) {
			since = since[:shortest]
		}
		l = append(l, "since "+code(since, cellSize))
	}
	if len(l) == 0 {
		return ""
	}
	return " (" + l.String() + ")"
}

// items writes the items and faults of a report, refused and failed ones first. Of
// those with one cause it writes some.
func (p *page) items(r *plan.Report) {
	lost := causes(r)
	good := carried(r)
	p.section("\n#### Refused, failed or skipped\n\n"+
		"| action | status | destination | tag | digest | source | wanted by | reason |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
		len(lost), "reasons", func(i int) string { return lost[i].rows() })
	faults := reportedFaults(r)
	p.section("\n#### Errors in the manifests\n\n", len(faults), "errors", func(i int) string {
		return "- " + code(faults[i].String(), errorSize) + "\n"
	})
	rest := ""
	if len(lost)+len(faults) > 0 {
		rest = "\n#### Everything else\n"
	}
	t := &text{digits: digits(good)}
	p.section(rest+"\n| action | status | destination | tag | digest | source | wanted by |\n| --- | --- | --- | --- | --- | --- | --- |\n",
		len(good), "planned or done", func(i int) string { return row(good[i], t.short) })
}

// warnings writes warnings in a closed section.
func (p *page) warnings(texts []string) {
	p.details(plural(len(texts), "warning", "warnings"), len(texts), "warnings", func(i int) string {
		return "- " + code(texts[i], errorSize) + "\n"
	})
}

// rows returns the table rows of a cause. The first one has the reason.
func (c *cause) rows() string {
	reason := code(c.reason, errorSize)
	if c.reported {
		reason = "error in the manifests, see below"
	}
	if c.items > 1 {
		reason += " (" + c.extent() + ")"
	}
	var b strings.Builder
	for _, it := range c.examples {
		b.WriteString(row(it, func(digest string) string { return digest }, reason))
		reason = ""
	}
	if n := c.rest(); n > 0 {
		b.WriteString("| | | … and " + plural(n, "more tag", "more tags") + " | | | | | |\n")
	}
	return b.String()
}

// details writes a section that is closed at first.
func (p *page) details(summary string, n int, what string, line func(int) string) {
	const begin, end = "\n<details><summary>", "</summary>\n\n"
	if n == 0 || p.room() < len(begin)+len(summary)+len(end) {
		return
	}
	p.section(begin+summary+end, n, what, line)
	p.WriteString("\n</details>\n")
}

// section writes a title and as many of n lines as fit into the page. what names the lines.
func (p *page) section(title string, n int, what string, line func(int) string) {
	if n == 0 {
		return
	}
	room := p.room() - len(title)
	if room > 0 {
		p.WriteString(title)
	}
	for i := range n {
		text := line(i)
		if room -= len(text); room < 0 {
			p.WriteString("\n… and " + strconv.Itoa(n-i) + " more " + what + "\n")
			return
		}
		p.WriteString(text)
	}
}

// row returns the table row of an item with the given last cells. show formats a digest.
func row(it *plan.ReportItem, show func(digest string) string, more ...string) string {
	action, digest := it.Action, code(show(it.Digest), cellSize)
	switch it.Kind {
	case plan.Referrer.String():
		action += " (referrer)"
	case plan.Evidence.String():
		action += " (" + it.What + ")"
	}
	if it.PreviousDigest != "" && !strings.Contains(it.Error, it.PreviousDigest) {
		digest += " (" + now(it) + " " + code(show(it.PreviousDigest), cellSize) + ")"
	}
	cells := append([]string{action, it.Status, code(it.Destination, cellSize), tagCell(it.Tags), digest, code(sourceOf(it), cellSize), code(wantedBy(it), cellSize)}, more...)
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func tagCell(tags []string) string {
	if len(tags) == 0 {
		return "(by digest)"
	}
	var l list
	for _, tag := range tags[:min(len(tags), cellTags)] {
		l = append(l, code(tag, cellSize))
	}
	l.add(len(tags)-cellTags, "more", "more")
	return l.String()
}

// code returns foreign text as a code span, which cannot contain markup, links or
// mentions. It shortens the text, and escapes characters that end a span or a cell or
// begin a tag.
func code(s string, most int) string {
	if s == "" {
		return ""
	}
	return "`" + strings.NewReplacer("`", `\x60`, "|", `\x7c`, "<", `\x3c`).Replace(clip(Escape(s), most)) + "`"
}
