package output

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/history"
)

// WriteHistory writes events as Text (a table) or JSON.
//
// In the table, an event in several destinations is one line.
func WriteHistory(w io.Writer, events []history.Event, f Format) error {
	if f == JSON {
		return WriteJSON(w, append([]history.Event{}, events...))
	}
	type group struct {
		history.Event
		more int
	}
	var groups []*group
	at := map[history.Event]*group{}
	for _, e := range events {
		key := e
		key.Repository = ""
		if g := at[key]; g != nil {
			g.more++
			continue
		}
		at[key] = &group{Event: e}
		groups = append(groups, at[key])
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DATE\tTEAM\tACTION\tIMAGE\tDIGEST\tPLACE\tCOMMIT\tPULL REQUEST\tAUTHOR")
	for _, g := range groups {
		name, digest, pull := g.Repository, g.Digest, ""
		if g.Tag != "" {
			name += ":" + g.Tag
		}
		if g.more > 0 {
			name += fmt.Sprintf(" (and %s)", Plural(g.more, "other destination"))
		}
		if g.Previous != "" {
			digest = g.Previous + " -> " + digest
		}
		if g.PullRequest != 0 {
			pull = "#" + strconv.Itoa(g.PullRequest)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s:%d\t%.12s\t%s\t%s\n", g.Date.Format("2006-01-02"), Escape(g.Team), g.Action, Escape(name), digest,
			Escape(g.File), g.Line, g.Commit, pull, Escape(g.Author))
	}
	return table.Flush()
}
