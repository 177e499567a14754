package output

import (
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Problem is a reason why items were refused or failed.
type Problem struct {
	Action       string // of the items
	Text         string // the reason, in one line
	Tags         int    // that it concerns; a digest without tags counts as one
	Repositories int
	Examples     []string // references of some of the items; none if there is only one
	More         int      // tags that are not in the examples
}

// Problems returns one problem for each reason. Faults of the manifests are left out.
func Problems(r *plan.Report) []Problem {
	var all []Problem
	for _, c := range causes(r) {
		first := c.examples[0]
		if c.reported || c.status == plan.Skipped.String() {
			continue
		}
		p := Problem{Action: first.Action, Tags: c.tags, Repositories: c.repos}
		if c.items == 1 {
			p.Text = c.single(first)
			all = append(all, p)
			continue
		}
		p.Text, p.More = c.reason+" ("+c.extent()+")", c.rest()
		if first.Action != plan.Unreadable.String() {
			p.Text = first.Action + " (" + c.extent() + "): " + c.reason
		}
		for _, it := range c.examples {
			p.Examples = append(p.Examples, reference(it))
		}
		all = append(all, p)
	}
	return all
}

// single returns the reason of a cause with one item. The errors of reads name what was read.
func (c *cause) single(it *plan.ReportItem) string {
	switch {
	case it.Action != plan.Unreadable.String():
		return it.Action + " " + reference(it) + ": " + c.reason
	case strings.Contains(c.reason, it.Destination):
		return c.reason
	}
	return c.reason + " (for " + reference(it) + ")"
}

// reference returns the repository of an item with its tags or its digest.
func reference(it *plan.ReportItem) string {
	switch {
	case len(it.Tags) > exampleTags:
		return it.Destination + ":" + strings.Join(it.Tags[:exampleTags], ",") + ",…"
	case len(it.Tags) > 0:
		return it.Destination + ":" + strings.Join(it.Tags, ",")
	case it.Digest != "":
		return it.Destination + "@" + it.Digest
	}
	return it.Destination
}
