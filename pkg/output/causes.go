package output

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Limits of what is shown for one cause. JSON has all.
const (
	maxExamples = 5
	exampleTags = 10 // of an item
)

// cause is a reason why items were refused, have failed or were skipped.
type cause struct {
	status   string
	reason   string             // the errors of all items; "…" where they differ
	reported bool               // by faults of the manifests, which are reported elsewhere
	examples []*plan.ReportItem // in order, of as many hosts and repositories as possible
	items    int
	tags     int // a digest without tags counts as one
	repos    int
	hosts    int

	last   *plan.ReportItem
	firsts [3][]*plan.ReportItem // the first items: of a host, of a repository, of all
}

// causes groups the items of a report that were refused, have failed or were skipped.
// Two items have the same cause if their errors differ only in names and numbers.
func causes(r *plan.Report) []*cause {
	faults := map[string]struct{}{}
	for _, f := range r.Faults {
		faults[fault(f).String()], faults[f.Message] = struct{}{}, struct{}{}
	}
	type key struct{ action, status, kind, shape string }
	var all []*cause
	known := map[key]*cause{}
	shapes := map[string]string{} // the items of a repository that cannot be read have the same error
	for i := range r.Items {
		it := &r.Items[i]
		if fine(it) {
			continue
		}
		k := key{it.Action, it.Status, it.Kind, ""}
		if it.Status == plan.Skipped.String() && it.Action != plan.Unreadable.String() {
			k.action = "" // one reason for all that was planned
		}
		_, reported := faults[it.Error]
		if reported = reported && it.Action == plan.Invalid.String(); !reported {
			if shapes[it.Error] == "" {
				shapes[it.Error] = "." + Shape(it.Error)
			}
			k.shape = shapes[it.Error]
		}
		c := known[k]
		if c == nil {
			c = &cause{status: it.Status, reason: it.Error, reported: reported}
			known[k] = c
			all = append(all, c)
		}
		c.add(it)
	}
	for _, c := range all {
		c.choose()
	}
	return all
}

// add adds an item. Items are sorted by destination.
func (c *cause) add(it *plan.ReportItem) {
	keep := func(rank int) {
		if len(c.firsts[rank]) < maxExamples {
			c.firsts[rank] = append(c.firsts[rank], it)
		}
	}
	keep(2)
	if c.last == nil || c.last.Destination != it.Destination {
		c.repos++
		keep(1)
		if c.last == nil || host(c.last.Destination) != host(it.Destination) {
			c.hosts++
			keep(0)
		}
	}
	if c.last != nil && c.last.Error != it.Error {
		c.reason = agreed(c.reason, it.Error)
	}
	c.items++
	c.tags += max(1, len(it.Tags))
	c.last = it
}

// choose chooses the examples.
func (c *cause) choose() {
	for _, its := range c.firsts {
		for _, it := range its {
			if len(c.examples) < maxExamples && !slices.Contains(c.examples, it) {
				c.examples = append(c.examples, it)
			}
		}
	}
	slices.SortStableFunc(c.examples, func(a, b *plan.ReportItem) int {
		return cmp.Or(strings.Compare(a.Destination, b.Destination), strings.Compare(a.Digest, b.Digest))
	})
	c.firsts, c.last = [3][]*plan.ReportItem{}, nil
}

// extent returns the number of tags, repositories and hosts.
func (c *cause) extent() string {
	text := plural(c.tags, "tag", "tags")
	if c.examples[0].Kind == plan.Evidence.String() {
		text = plural(c.items, "piece of evidence", "pieces of evidence")
	}
	text += " in " + plural(c.repos, "repository", "repositories")
	if c.hosts > 1 {
		text += " on " + plural(c.hosts, "host", "hosts")
	}
	return text
}

// rest returns the number of tags that the examples do not have.
func (c *cause) rest() int {
	n := c.tags
	for _, it := range c.examples {
		n -= max(1, len(it.Tags))
	}
	return n
}

// unread reports whether the registries were not read to the end: nothing is known about
// the items, so that a count of them is enough.
func (c *cause) unread() bool {
	return c.status == plan.Skipped.String() && c.examples[0].Action == plan.Unreadable.String()
}

// host returns the host of a reference.
func host(ref string) string {
	h, _, _ := strings.Cut(ref, "/")
	return h
}

var (
	httpStatus = regexp.MustCompile(`^\(?[1-5][0-9][0-9]\)?$`) // of HTTP
	specific   = regexp.MustCompile(`[0-9/@"]|\w\.\w`)         // in names, references, numbers and quoted text
)

// Shape returns a text without its names and numbers. Texts about different images have
// the same shape if their cause is the same.
func Shape(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		bare, end := unpunctuated(word)
		afterTag := i > 0 && words[i-1] == "tag"
		if afterTag || specific.MatchString(bare) && !httpStatus.MatchString(bare) {
			words[i] = "…" + end
		}
	}
	return strings.Join(words, " ")
}

// agreed returns a with "…" in place of the words that b does not have. Both have the
// same shape, and so the same number of words.
func agreed(a, b string) string {
	words, others := strings.Split(a, " "), strings.Split(b, " ")
	for i := range min(len(words), len(others)) {
		if words[i] != others[i] {
			_, end := unpunctuated(words[i])
			words[i] = "…" + end
		}
	}
	return strings.Join(words, " ")
}

// unpunctuated returns a word without the punctuation at its end, and that.
func unpunctuated(word string) (bare, end string) {
	bare = strings.TrimRight(word, ":;,.")
	return bare, word[len(bare):]
}

// Faults returns faults in the order of their files and lines, of each contradiction
// only the first, because its message names the others.
func Faults(faults []manifest.Fault) []manifest.Fault {
	sorted := slices.Clone(faults)
	manifest.SortFaults(sorted)
	groups := manifest.Contradictions(sorted)
	firsts := make([]manifest.Fault, len(groups))
	for i, g := range groups {
		firsts[i] = g[0]
	}
	return firsts
}

// reportedFaults returns the faults of a report like Faults.
func reportedFaults(r *plan.Report) []manifest.Fault {
	faults := make([]manifest.Fault, len(r.Faults))
	for i, f := range r.Faults {
		faults[i] = fault(f)
	}
	return Faults(faults)
}

func fault(f plan.ReportFault) manifest.Fault {
	return manifest.Fault{Pos: manifest.Pos{File: f.File, Line: f.Line, Column: f.Column}, Message: f.Message}
}
