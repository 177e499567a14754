package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// complete returns a copy of r in which lists and maps are empty instead of nil.
func complete(r *plan.Report) *plan.Report {
	c := *r
	c.Items = append([]plan.ReportItem{}, r.Items...)
	for i := range c.Items {
		if c.Items[i].Tags == nil {
			c.Items[i].Tags = []string{}
		}
		if c.Items[i].WantedBy == nil {
			c.Items[i].WantedBy = []string{}
		}
	}
	if c.Faults == nil {
		c.Faults = []plan.ReportFault{}
	}
	if c.Warnings == nil {
		c.Warnings = []string{}
	}
	if c.Requests == nil {
		c.Requests = map[string]int{}
	}
	return &c
}

// encodeJSON returns v as indented JSON without a final newline. All lines except the first begin with prefix.
func encodeJSON(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return EscapeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// WriteJSON writes v as indented JSON, and escapes invisible characters.
func WriteJSON(w io.Writer, v any) error {
	b, err := encodeJSON(v, "")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// writeReportCSV writes one line for each edge of each item. Its columns never change.
func writeReportCSV(w io.Writer, r *plan.Report) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"action", "status", "source", "destination", "digest", "tag"}) // Error returns the error at the end
	for i := range r.Items {
		it := &r.Items[i]
		tags := it.Tags
		if len(tags) == 0 {
			tags = []string{""}
		}
		for _, tag := range tags {
			_ = c.Write([]string{it.Action, it.Status, Escape(it.Source), Escape(it.Destination), Escape(it.Digest), Escape(tag)})
		}
	}
	c.Flush()
	return c.Error()
}
