package output

import (
	"io"
	"slices"
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
}

func writeMarkdown(w io.Writer, r *plan.Report) error {
	var p page
	p.WriteString("### " + summary(r) + "\n")
	rest := ""
	if len(r.Faults) > 0 || slices.ContainsFunc(r.Items, func(it plan.ReportItem) bool { return bad(&it) }) {
		rest = "Everything else"
	}
	p.items(r, rest)
	_, err := io.WriteString(w, p.String())
	return err
}

// items writes the items and faults of a report, refused and failed ones first. rest is
// the title of the others, or "".
func (p *page) items(r *plan.Report, rest string) {
	var good, lost []*plan.ReportItem
	for i := range r.Items {
		if it := &r.Items[i]; bad(it) {
			lost = append(lost, it)
		} else {
			good = append(good, it)
		}
	}
	p.section("\n#### Refused or failed\n\n"+
		"| action | status | destination | tag | digest | source | error |\n| --- | --- | --- | --- | --- | --- | --- |\n",
		len(lost), "refused or failed", func(i int) string {
			why := code(lost[i].Error, errorSize)
			if at := wantedBy(lost[i]); at != "" {
				why += " (wanted by " + code(at, cellSize) + ")"
			}
			return row(lost[i], func(digest string) string { return digest }, why)
		})
	p.section("\n#### Faults in the manifests\n\n", len(r.Faults), "faults", func(i int) string {
		return "- " + code(fault(r.Faults[i]), errorSize) + "\n"
	})
	title := ""
	if rest != "" {
		title = "\n#### " + rest + "\n"
	}
	t := &text{digits: digits(r.Items)}
	p.section(title+"\n| action | status | destination | tag | digest | source |\n| --- | --- | --- | --- | --- | --- |\n",
		len(good), "planned, done or skipped", func(i int) string { return row(good[i], t.short) })
}

// section writes a title and as many of n lines as fit into the page. what names the lines.
func (p *page) section(title string, n int, what string, line func(int) string) {
	if n == 0 {
		return
	}
	room := pageSize - pageEnd - p.Len() - len(title)
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
	if it.Kind == referrer {
		action += " (referrer)"
	}
	if it.PreviousDigest != "" && !strings.Contains(it.Error, it.PreviousDigest) {
		digest += " (" + now(it) + " " + code(show(it.PreviousDigest), cellSize) + ")"
	}
	cells := append([]string{action, it.Status, code(it.Destination, cellSize), tagCell(it.Tags), digest, code(origin(it), cellSize)}, more...)
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
