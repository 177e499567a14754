package output

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

const (
	actionWidth = len("conflict") // the longest action
	statusWidth = len("planned")  // the longest status
	shortest    = 12              // digits of a digest in a table, more where two would look the same
)

// ANSI codes.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// palette colors text if it is true.
type palette bool

func (p palette) paint(color, s string) string {
	if !p || color == "" {
		return s
	}
	return color + s + plain
}

// text writes a report for people.
type text struct {
	buffer
	palette
	width  int    // columns
	digits int    // of a short digest
	indent string // of groups
	most   int    // tags of an item
	said   string // the reason above the items
}

func writeText(w io.Writer, r *plan.Report, color bool, width int) error {
	lost := causes(r)
	good := carried(r)
	shown := slices.Clone(good)
	for _, c := range lost {
		shown = append(shown, c.examples...)
	}
	t := &text{buffer: newBuffer(w), palette: palette(color), width: width, digits: digits(shown), most: math.MaxInt}
	for _, group := range byDestination(good) {
		t.group(group)
		t.put("\n")
	}
	for _, c := range lost {
		t.cause(c)
	}
	last := summary(r) + cost(r)
	if pending(r) {
		t.estimate(r.Estimate)
		last += " Add --confirm to carry it out."
	}
	t.put(last, "\n")
	return t.Flush()
}

// carried returns the items that are, or will be, done.
func carried(r *plan.Report) (good []*plan.ReportItem) {
	for i := range r.Items {
		if it := &r.Items[i]; fine(it) {
			good = append(good, it)
		}
	}
	return good
}

// byDestination divides items, which are sorted by destination.
func byDestination(items []*plan.ReportItem) [][]*plan.ReportItem {
	var groups [][]*plan.ReportItem
	for i, it := range items {
		if i == 0 || items[i-1].Destination != it.Destination {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, it)
	}
	return groups
}

// group writes the items of one destination repository.
func (t *text) group(items []*plan.ReportItem) {
	head, from := t.indent+Escape(items[0].Destination), ""
	source, shared := common(items)
	if shared && source != "" {
		from = "from " + Escape(source)
	}
	switch {
	case from == "":
		t.put(head, "\n")
	case columns(head)+1+columns(from) <= t.width:
		t.put(head, " ", from, "\n")
	default:
		t.put(head, "\n  ", t.indent, from, "\n")
	}
	for _, it := range items {
		t.row(it, !shared, wantedBy(it))
		if it.Status == plan.Refused.String() && wellFormed(it.Digest) {
			t.put(t.indent, "    ", it.Digest, "\n") // in full, to look for it
		}
	}
}

// cause writes a reason and the items that show what it concerns.
func (t *text) cause(c *cause) {
	paint := red
	if c.status == plan.Skipped.String() {
		paint = ""
	}
	reason := c.reason
	if c.reported {
		reason = "errors in the manifests, see above"
	}
	if c.items > 1 {
		reason += " (" + c.extent() + ")"
	}
	t.put(t.paint(paint, c.status), ":")
	t.wrap(columns(c.status)+1, 1, strings.Split(Escape(reason), " "))
	t.put("\n")
	if c.unread() {
		t.put("\n")
		return
	}
	t.indent, t.said, t.most = "  ", c.reason, exampleTags
	for _, group := range byDestination(c.examples) {
		t.group(group)
	}
	if n := c.rest(); n > 0 {
		t.put("    … and ", plural(n, "more tag", "more tags"), "\n")
	}
	t.indent, t.said, t.most = "", "", math.MaxInt
	t.put("\n")
}

// wrap writes words, each after a space, on a line that has some columns. Further lines
// are indented. It returns the columns of the last one.
func (t *text) wrap(at, indent int, words []string) int {
	for _, word := range words {
		n := columns(word)
		if at > indent && at+1+n > t.width {
			t.put("\n", strings.Repeat(" ", indent))
			at = indent
		}
		t.put(" ", word)
		at += 1 + n
	}
	return at
}

// row writes the line of an item. Its tags wrap. place is the position that wants it.
func (t *text) row(it *plan.ReportItem, source bool, place string) {
	action := fmt.Sprintf("%-*s", actionWidth, it.Action)
	if it.Action == plan.Move.String() {
		action = t.paint(yellow, action)
	}
	status := fmt.Sprintf("%-*s", statusWidth, it.Status)
	switch {
	case bad(it):
		status = t.paint(red, status)
	case it.Status == plan.Done.String():
		status = t.paint(green, status)
	case it.Status == plan.Planned.String():
		status = t.paint(yellow, status)
	}
	wide := len("sha256:") + t.digits
	t.put(t.indent, "  ", action, "  ", status, "  ", fmt.Sprintf("%-*s", wide, t.short(it.Digest)), " ")
	indent := len(t.indent) + 2 + actionWidth + 2 + statusWidth + 2 + wide + 1
	at := t.wrap(indent, indent, t.words(it, source))
	if place != "" {
		place = "(" + Escape(place) + ")"
		if at+1+columns(place) > t.width {
			t.put("\n", t.indent, "   ")
		}
		t.put(" ", place)
	}
	t.put("\n")
}

// wantedBy returns the file and line of the first position that wants an item.
func wantedBy(it *plan.ReportItem) string {
	if len(it.WantedBy) == 0 {
		return ""
	}
	at := it.WantedBy[0]
	if i := strings.LastIndexByte(at, ':'); i > 0 {
		at = at[:i]
	}
	return at
}

// words returns the words after the digest of a row. A line can break between them.
func (t *text) words(it *plan.ReportItem, source bool) []string {
	words := []string{"(by digest)"}
	if n := len(it.Tags); n > 0 {
		words = words[:0]
		for _, tag := range it.Tags[:min(n, t.most)] {
			words = append(words, Escape(tag)+",")
		}
		if n > t.most {
			words = append(words, fmt.Sprintf("… %d more,", n-t.most))
		}
		last := len(words) - 1
		words[last] = strings.TrimSuffix(words[last], ",")
	}
	switch it.Kind {
	case plan.Referrer.String():
		words = append(words, "(referrer)")
	case plan.Evidence.String():
		words = []string{it.What}
	}
	if it.PreviousDigest != "" && !strings.Contains(t.said, it.PreviousDigest) {
		words = append(words, "("+now(it)+" "+t.short(it.PreviousDigest)+")")
	}
	switch from := sourceOf(it); {
	case from == "":
	case it.Kind == plan.Evidence.String():
		repo, digest, _ := strings.Cut(from, "@")
		words = append(words, "(from "+Escape(repo)+"@"+t.short(digest)+")")
	case source:
		words = append(words, "(from "+Escape(from)+")")
	}
	return words
}

// now returns the word before the digest that the tags of an item point to, or pointed to.
func now(it *plan.ReportItem) string {
	if it.Action == plan.Existing.String() || it.Action == plan.Conflict.String() {
		return "is"
	}
	return "was"
}

// estimate writes the estimated requests of a real run to each host.
func (t *text) estimate(hosts map[string]plan.Estimate) {
	if len(hosts) == 0 {
		return
	}
	t.put("Estimate of the real run:\n")
	table := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		e, least, duration := hosts[name], "", ""
		if e.AtLeast {
			least = "at least "
		}
		if e.Seconds > 0 {
			duration = ", " + time.Duration(math.Ceil(e.Seconds)*float64(time.Second)).String()
		}
		fmt.Fprintf(table, "  %s\t%s%s, %s%s\n", Escape(name), least, plural(e.Requests, "request", "requests"), size(e.Bytes), duration)
	}
	_ = table.Flush() // the buffer keeps the error
	t.put("\n")
}

// short returns the shortened digest for the table.
func (t *text) short(digest string) string {
	switch {
	case digest == "":
		return "-"
	case wellFormed(digest):
		return digest[:len("sha256:")+t.digits]
	}
	return clip(Escape(digest), len("sha256:")+t.digits)
}

// digits returns the number of digits that make the shortened digests unique.
func digits(items []*plan.ReportItem) int {
	var all []string
	for _, it := range items {
		for _, d := range []string{it.Digest, it.PreviousDigest} {
			if wellFormed(d) {
				all = append(all, image.Hash(d).Hex)
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	n := shortest
	for i := 1; i < len(all); i++ {
		for all[i][:n] == all[i-1][:n] {
			n++
		}
	}
	return n
}

func wellFormed(digest string) bool {
	_, err := image.ParseDigest(digest)
	return err == nil
}

// common returns the source of the items, if all of them have the same one. Evidence has
// none, or one of its own.
func common(items []*plan.ReportItem) (source string, shared bool) {
	first := true
	for _, it := range items {
		switch {
		case it.Kind == plan.Evidence.String():
		case first:
			source, first = sourceOf(it), false
		case sourceOf(it) != source:
			return "", false
		}
	}
	return source, true
}

// sourceOf returns the source repository or reference of an item. It is empty if the
// source is the destination.
func sourceOf(it *plan.ReportItem) string {
	from := strings.TrimSuffix(it.Source, "@"+it.Digest)
	if from == it.Destination {
		return ""
	}
	return from
}

// columns returns the approximate width of s on a terminal.
func columns(s string) int { return utf8.RuneCountInString(s) }
