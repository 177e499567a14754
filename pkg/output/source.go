package output

import (
	"fmt"
	"io"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// ResolvedSource is what one source came to.
type ResolvedSource struct {
	File    string   `json:"file"`
	Line    int32    `json:"line"`
	Name    string   `json:"name"`
	Tag     string   `json:"tag,omitempty"`
	Digest  v1.Hash  `json:"digest,omitzero"`
	Tags    []string `json:"tags"`
	Was     v1.Hash  `json:"was,omitzero"` // in the lock
	Changed bool     `json:"changed"`
	Notes   []string `json:"notes,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Explanation is what was looked at for one source.
type Explanation struct {
	Source     string      `json:"source"` // file:line:column
	Name       string      `json:"name"`
	Repository string      `json:"repository"`
	Tag        string      `json:"tag,omitempty"`
	Digest     v1.Hash     `json:"digest,omitzero"`
	Locked     v1.Hash     `json:"locked,omitzero"` // in the lock
	Notes      []string    `json:"notes"`
	Candidates []Candidate `json:"candidates"`
	Error      string      `json:"error,omitempty"`
}

// Candidate is an image that was looked at, and why it was taken or not.
type Candidate struct {
	Tag    string  `json:"tag,omitempty"`
	Digest v1.Hash `json:"digest,omitzero"`
	Chosen bool    `json:"chosen"`
	Reason string  `json:"reason"`
}

// WriteExplanations writes what was looked at for sources, as Text or JSON.
func WriteExplanations(w io.Writer, all []Explanation, f Format) error {
	if f == JSON {
		return WriteJSON(w, all)
	}
	for i := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := all[i].write(w); err != nil {
			return err
		}
	}
	return nil
}

func (e *Explanation) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s\n", Escape(e.Source), Escape(e.Repository))
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-7s %s\n", what, Escape(text))
		}
	}
	line("chosen", e.Tag)
	line("digest", image.DigestString(e.Digest))
	line("locked", image.DigestString(e.Locked))
	for _, note := range e.Notes {
		line("note", note)
	}
	line("error", e.Error)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range e.Candidates {
		mark, name := " ", c.Tag
		if c.Chosen {
			mark = "*"
		}
		if name == "" {
			name = c.Digest.String()
		}
		fmt.Fprintf(table, "%s %s\t%s\n", mark, Escape(name), Escape(c.Reason))
	}
	return table.Flush()
}
