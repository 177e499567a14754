package output

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// tally counts the outcomes of edges, for people: refused and failed edges do not count
// as copied, unlike in the summary of the report.
type tally struct {
	copies, tags, moves int // planned in a dry run, done in a real one
	refused             int // copies, tags and moves that must not be
	failed              int // copies, tags and moves that did not succeed
	skipped             int // of any action
	unread              int // skipped before it was known what to do

	referrers, evidence extras
}

// extras count items that are not edges.
type extras struct{ fine, lost, skipped int }

func count(r *plan.Report) tally {
	t := tally{copies: r.Summary.Copy, tags: r.Summary.Tag, moves: r.Summary.Move}
	for i := range r.Items {
		it := &r.Items[i]
		switch it.Kind {
		case plan.Referrer.String():
			t.referrers.count(it)
			continue
		case plan.Evidence.String():
			t.evidence.count(it)
			continue
		}
		at, n := t.of(it.Action), max(1, len(it.Tags))
		if it.Status == plan.Skipped.String() {
			t.skipped += n
			if it.Action == plan.Unreadable.String() {
				t.unread += n
			}
		}
		if at == nil || fine(it) {
			continue
		}
		*at = max(0, *at-n)
		switch it.Status {
		case plan.Refused.String():
			t.refused += n
		case plan.Failed.String():
			t.failed += n
		}
	}
	return t
}

func (t *tally) of(action string) *int {
	switch action {
	case plan.Copy.String():
		return &t.copies
	case plan.TagOnly.String():
		return &t.tags
	case plan.Move.String():
		return &t.moves
	}
	return nil
}

func (e *extras) count(it *plan.ReportItem) {
	switch {
	case fine(it):
		e.fine++
	case bad(it):
		e.lost++
	default:
		e.skipped++
	}
}

// fine reports whether an item is, or will be, done.
func fine(it *plan.ReportItem) bool {
	return it.Status == plan.Planned.String() || it.Status == plan.Done.String()
}

// bad reports whether an item was refused or failed.
func bad(it *plan.ReportItem) bool {
	return it.Status == plan.Refused.String() || it.Status == plan.Failed.String()
}

// idle reports whether everything is up to date and nothing was refused, failed or unknown.
func idle(r *plan.Report) bool {
	rest := r.Summary
	rest.UpToDate = 0
	return rest == plan.Summary{} && len(r.Items) == 0 && len(r.Faults) == 0
}

// pending reports whether a real run would write something.
func pending(r *plan.Report) bool {
	t := count(r)
	return r.DryRun && t.skipped == 0 && t.copies+t.tags+t.moves+t.referrers.fine+t.evidence.fine > 0
}

// summary returns the report in one sentence.
func summary(r *plan.Report) string {
	var notes, done list
	notes.add(len(reportedFaults(r)), "error in the manifests", "errors in the manifests")
	notes.add(len(r.Warnings), "warning", "warnings")
	upToDate := ""
	if r.Summary.UpToDate > 0 {
		upToDate = fmt.Sprintf("%d up to date", r.Summary.UpToDate)
	}
	switch {
	case idle(r) && r.Summary.UpToDate == 0 && r.Manifests.Since != "":
		return sentence("Nothing changed since "+Escape(r.Manifests.Since), notes.String())
	case idle(r):
		return sentence(strings.TrimSuffix("Nothing to do: "+upToDate, ": "), notes.String())
	}
	t := count(r)
	if r.DryRun {
		done.add(t.copies, "to copy", "to copy")
		done.add(t.tags, "to tag", "to tag")
		done.add(t.moves, "to move", "to move")
		done.add(t.referrers.fine, "referrer to copy", "referrers to copy")
		done.add(t.evidence.fine, "piece of evidence to write", "pieces of evidence to write")
		lead := "Dry run: " + cmp.Or(done.String(), "nothing to promote")
		if interrupted(r) {
			lead = "Interrupted: the plan is not complete"
		}
		return sentence(lead, upToDate, t.troubles(r), notes.String(), "nothing was written")
	}
	done.add(t.copies, "copied", "copied")
	done.add(t.tags, "tagged", "tagged")
	done.add(t.moves, "moved", "moved")
	done.add(t.referrers.fine, "referrer copied", "referrers copied")
	done.add(t.evidence.fine, "piece of evidence written", "pieces of evidence written")
	lead := "Nothing was promoted"
	switch {
	case interrupted(r):
		lead = "Interrupted: " + cmp.Or(done.String(), "nothing was promoted")
	case len(done) > 0:
		lead = "Promoted: " + done.String()
	}
	return sentence(lead, upToDate, t.troubles(r), notes.String())
}

// interrupted reports whether a run was interrupted before its end.
func interrupted(r *plan.Report) bool {
	return slices.ContainsFunc(r.Items, func(it plan.ReportItem) bool {
		return it.Status == plan.Skipped.String() && it.Error == "interrupted"
	})
}

// troubles returns the counts of edges that were not promoted.
func (t tally) troubles(r *plan.Report) string {
	var l list
	l.add(r.Summary.Conflict, "conflict", "conflicts")
	l.add(r.Summary.Missing, "missing", "missing")
	l.add(r.Summary.Invalid, "invalid", "invalid")
	l.add(r.Summary.Unknown-t.unread, "unknown", "unknown")
	l.add(r.Summary.Existing, "existing", "existing")
	l.add(t.failed, "failed", "failed")
	l.add(t.refused, "refused", "refused")
	l.add(t.skipped, "skipped", "skipped")
	l.add(t.referrers.lost, "referrer refused or failed", "referrers refused or failed")
	l.add(t.referrers.skipped, "referrer skipped", "referrers skipped")
	l.add(t.evidence.lost, "piece of evidence failed", "pieces of evidence failed")
	l.add(t.evidence.skipped, "piece of evidence skipped", "pieces of evidence skipped")
	return l.String()
}

// cost returns the costs of a real run.
func cost(r *plan.Report) string {
	requests := 0
	for _, n := range r.Requests {
		requests += n
	}
	if r.DryRun || requests == 0 || idle(r) {
		return ""
	}
	return fmt.Sprintf(" %s, %s copied, in %.1f s.", plural(requests, "request", "requests"), size(r.Bytes), r.Seconds)
}

// list is an enumeration of counts.
type list []string

// add appends a count that is not zero.
func (l *list) add(n int, one, many string) {
	if n > 0 {
		*l = append(*l, plural(n, one, many))
	}
}

// String returns the counts with commas.
func (l list) String() string { return strings.Join(l, ", ") }

// sentence joins the parts that are not empty.
func sentence(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Join(parts, "; ") + "."
}

// Plural returns a number of things: "1 tag", "2 tags".
func Plural(n int, one string) string { return plural(n, one, one+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// size returns a number of bytes for people.
func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	n, units := float64(bytes)/unit, "KMGTPE"
	for n >= unit-0.05 && len(units) > 1 { // what would read 1024.0 is one of the next unit
		n, units = n/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", n, units[0])
}
