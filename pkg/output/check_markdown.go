package output

import (
	"io"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
)

// writeCheckComment writes a check as the one comment on a pull request: what merging it
// would promote, the findings, and in closed sections all that stops nothing.
func writeCheckComment(w io.Writer, r *CheckReport) error {
	var p page
	p.WriteString("### " + r.title() + "\n\n" + r.sentence() + "\n")
	bad, notes := r.condensed()
	const head = "| place | rule | finding |\n| --- | --- | --- |\n"
	p.kept = pageSize / 2 // for the plan
	p.section("\n#### Findings\n\n"+head, len(bad), "findings", func(i int) string { return bad[i].row() })
	p.kept = 0
	if r.Plan != nil {
		p.WriteString("\n#### Plan: " + summary(r.Plan) + "\n")
		p.items(r.Plan)
	}
	_, _, total := r.count()
	p.details(plural(total, "note", "notes"), len(notes), "notes", func(i int) string {
		line := notes[i].row()
		if i == 0 {
			line = head + line
		}
		return line
	})
	if r.Plan != nil {
		p.warnings(r.Plan.Warnings)
	}
	idle := r.skipped()
	p.details(plural(len(r.Idle), "rule skipped", "rules skipped"), len(idle), "rules", func(i int) string {
		return "- " + idle[i].Name + ": " + code(idle[i].Why, errorSize) + "\n"
	})
	_, err := io.WriteString(w, p.String())
	return err
}

// title returns the result of the check, and that of the plan.
func (r *CheckReport) title() string {
	text := "cip check: " + r.problems().String()
	if r.Plan != nil {
		text += "; " + outcome(r.Plan)
	}
	return text + origin{r.Manifests.Path, r.Base}.String()
}

// shownFinding is a finding with the number of the others that it is an example of.
type shownFinding struct {
	check.Finding
	more int
}

// condensed returns the findings and the notes that are shown. Of those that differ only
// in names and numbers it returns the first ones. Each fault of a file is shown.
func (r *CheckReport) condensed() (bad, notes []shownFinding) {
	type key struct {
		rule, shape string
		level       check.Level
	}
	type last struct{ n, at int }
	seen := map[key]*last{}
	for _, f := range r.Findings {
		list := &bad
		if f.Level == check.Note {
			list = &notes
		}
		k := key{f.Rule, Shape(f.Message), f.Level}
		if seen[k] == nil {
			seen[k] = &last{}
		}
		if seen[k].n++; f.Rule != (check.Valid{}).Describe().Name && seen[k].n > maxExamples {
			(*list)[seen[k].at].more++
			continue
		}
		seen[k].at = len(*list)
		*list = append(*list, shownFinding{Finding: f})
	}
	return bad, notes
}

// row returns the table row of a finding, and one for those that are like it.
func (f shownFinding) row() string {
	row := "| " + code(place(f.Finding), cellSize) + " | " + f.Rule + " | " + code(says(f.Finding), errorSize) + " |\n"
	if f.more > 0 {
		row += "| | " + f.Rule + " | " + f.like() + " |\n"
	}
	return row
}

// like says how many findings are like f.
func (f shownFinding) like() string {
	return "… and " + plural(f.more, "more such finding", "more such findings")
}
