package output

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
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

// text writes a report for people.
type text struct {
	buffer
	color  bool
	width  int // columns
	digits int // of a short digest
}

func writeText(w io.Writer, r *plan.Report, color bool, width int) error {
	t := &text{newBuffer(w), color, width, digits(r.Items)}
	for rest := r.Items; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Destination == rest[0].Destination {
			n++
		}
		t.group(rest[:n])
		rest = rest[n:]
	}
	if len(r.Faults) > 0 {
		t.put("Faults in the manifests:\n")
		for _, f := range r.Faults {
			t.put("  ", Escape(fault(f)), "\n")
		}
		t.put("\n")
	}
	last := summary(r) + cost(r)
	if pending(r) {
		t.estimate(r.Estimate)
		last += " Add --confirm to carry it out."
	}
	t.put(last, "\n")
	return t.Flush()
}

// group writes the items of one destination repository.
func (t *text) group(items []plan.ReportItem) {
	head, from := Escape(items[0].Destination), ""
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
		t.put(head, "\n  ", from, "\n")
	}
	for i := range items {
		it := &items[i]
		t.row(it, !shared)
		t.details(it)
		last := i+1 == len(items) || items[i+1].Error != it.Error || items[i+1].Status != it.Status
		if it.Error != "" && last { // what several rows say is said once, below them
			t.put("      ", Escape(it.Error), "\n")
		}
	}
	t.put("\n")
}

// row writes the line of an item. Its tags wrap.
func (t *text) row(it *plan.ReportItem, source bool) {
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
	t.put("  ", action, "  ", status, "  ", fmt.Sprintf("%-*s", wide, t.short(it.Digest)), " ")
	indent := 2 + actionWidth + 2 + statusWidth + 2 + wide + 2
	at := indent - 1
	for i, word := range t.words(it, source) {
		n := columns(word)
		if i > 0 && at+1+n > t.width {
			t.put("\n", strings.Repeat(" ", indent-1))
			at = indent - 1
		}
		t.put(" ", word)
		at += 1 + n
	}
	t.put("\n")
}

// words returns the words after the digest of a row. A line can break between them.
func (t *text) words(it *plan.ReportItem, source bool) []string {
	words := []string{"(by digest)"}
	if n := len(it.Tags); n > 0 {
		words = words[:0]
		for _, tag := range it.Tags {
			words = append(words, Escape(tag)+",")
		}
		words[n-1] = strings.TrimSuffix(words[n-1], ",")
	}
	if it.Kind == referrer {
		words = append(words, "(referrer)")
	}
	if it.PreviousDigest != "" && !exact(it) {
		words = append(words, "("+now(it)+" "+t.short(it.PreviousDigest)+")")
	}
	if from := origin(it); source && from != "" && !exact(it) {
		words = append(words, "(from "+Escape(from)+")")
	}
	return words
}

// now returns the word before the digest that the tags of an item point to, or pointed to.
func now(it *plan.ReportItem) string {
	if it.Action == plan.Existing.String() {
		return "is"
	}
	return "was"
}

// exact reports whether the full references of an item are written. They help with problems.
func exact(it *plan.ReportItem) bool { return bad(it) || !wellFormed(it.Digest) }

// details writes the full references of an item that are not in its error.
func (t *text) details(it *plan.ReportItem) {
	if !exact(it) {
		return
	}
	said := it.Error
	line := func(before, ref string) {
		if ref != "" && !strings.Contains(said, ref) {
			t.put("      ", before, Escape(ref), "\n")
			said += "\n" + ref
		}
	}
	line("source ", it.Source)
	line("digest ", it.Digest)
	line("was ", it.PreviousDigest)
	line("wanted by ", wantedBy(it))
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

// estimate writes the estimated requests of a real run to each host.
func (t *text) estimate(hosts map[string]plan.Estimate) {
	if len(hosts) == 0 {
		return
	}
	names, wide := slices.Sorted(maps.Keys(hosts)), 0
	for _, name := range names {
		wide = max(wide, columns(Escape(name)))
	}
	t.put("Estimate of the real run:\n")
	for _, name := range names {
		e, least := hosts[name], ""
		if e.AtLeast {
			least = "at least "
		}
		shown := Escape(name)
		t.put("  ", shown, strings.Repeat(" ", wide-columns(shown)), "  ", least, plural(e.Requests, "request", "requests"), ", ", size(e.Bytes), "\n")
	}
	t.put("\n")
}

func (t *text) paint(color, s string) string {
	if !t.color {
		return s
	}
	return color + s + plain
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
func digits(items []plan.ReportItem) int {
	var all []string
	for i := range items {
		for _, d := range []string{items[i].Digest, items[i].PreviousDigest} {
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

// common returns the source of the items, if all rows that would name a source have the same one.
func common(items []plan.ReportItem) (source string, shared bool) {
	first := true
	for i := range items {
		if exact(&items[i]) {
			continue
		}
		from := origin(&items[i])
		if !first && from != source {
			return "", false
		}
		source, first = from, false
	}
	return source, true
}

// origin returns the source repository or reference of an item. It is empty if the
// source is the destination.
func origin(it *plan.ReportItem) string {
	from := strings.TrimSuffix(it.Source, "@"+it.Digest)
	if from == it.Destination {
		return ""
	}
	return from
}

// fault returns a fault as "file:line:column: message".
func fault(f plan.ReportFault) string {
	return manifest.Fault{Pos: manifest.Pos{File: f.File, Line: f.Line, Column: f.Column}, Message: f.Message}.String()
}

// columns returns the approximate width of s on a terminal.
func columns(s string) int { return utf8.RuneCountInString(s) }
