package output

import (
	"io"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
)

// writeCheckComment writes a check as a comment on a pull request: the findings, and
// the plan with its refused items.
func writeCheckComment(w io.Writer, r *CheckReport) error {
	var p page
	p.WriteString("### cip check: " + r.sentence() + "\n")
	var bad, notes []check.Finding
	for _, f := range r.Findings {
		if f.Level == check.Note {
			notes = append(notes, f)
		} else {
			bad = append(bad, f)
		}
	}
	line := func(f check.Finding) string {
		return "| " + code(place(f), cellSize) + " | " + f.Rule + " | " + code(says(f), errorSize) + " |\n"
	}
	const head = "| place | rule | finding |\n| --- | --- | --- |\n"
	p.section("\n#### Findings\n\n"+head, len(bad), "findings", func(i int) string { return line(bad[i]) })
	if r.Plan != nil {
		p.WriteString("\n#### Plan: " + summary(r.Plan) + "\n")
		p.items(r.Plan, "To be promoted")
	}
	p.section("\n#### Notes\n\n"+head, len(notes), "notes", func(i int) string { return line(notes[i]) })
	p.section("\n#### Rules not run\n\n", len(r.Idle), "rules", func(i int) string {
		return "- " + r.Idle[i].Name + ": " + code(r.Idle[i].Why, errorSize) + "\n"
	})
	_, err := io.WriteString(w, p.String())
	return err
}
