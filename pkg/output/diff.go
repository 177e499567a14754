package output

import (
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// Comparison has the differences between two snapshots.
type Comparison struct {
	From, To string // what was compared, as the user named it
	Changes  inventory.Difference
}

// DiffFormat parses the format of a comparison, in any case. The default is Text.
func DiffFormat(s string) (Format, error) {
	return choose(s, "comparison", Text, JSON, Markdown)
}

// WriteDiff writes a comparison. Only Text has colors.
func WriteDiff(w io.Writer, c Comparison, f Format, color bool) error {
	switch f {
	case Text:
		return writeDiffText(w, c, color)
	case JSON:
		return writeDiffJSON(w, c)
	case Markdown:
		return writeDiffMarkdown(w, c)
	}
	return fmt.Errorf("a comparison has no output format %q", f)
}

// diffReport is the JSON format of a comparison.
type diffReport struct {
	From    string       `json:"from"`
	To      string       `json:"to"`
	Summary diffSummary  `json:"summary"`
	Changes []diffChange `json:"changes"`
}

type diffSummary struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Moved   int `json:"moved"`
}

type diffChange struct {
	Change         string `json:"change"`
	Name           string `json:"name"`
	Tag            string `json:"tag"`
	Digest         string `json:"digest"`
	PreviousDigest string `json:"previousDigest"`
}

func writeDiffJSON(w io.Writer, c Comparison) error {
	r := diffReport{
		From: c.From, To: c.To, Changes: make([]diffChange, len(c.Changes)),
		Summary: diffSummary{c.Changes.Count(inventory.Added), c.Changes.Count(inventory.Removed), c.Changes.Count(inventory.Moved)},
	}
	for i, ch := range c.Changes {
		r.Changes[i] = diffChange{ch.Kind.String(), ch.Name, ch.Tag, image.DigestString(ch.Digest), image.DigestString(ch.Was)}
	}
	return WriteJSON(w, r)
}

// sentence returns the number of differences in one line.
func (c Comparison) sentence() string {
	if len(c.Changes) == 0 {
		return "No difference."
	}
	return fmt.Sprintf("%d added, %d removed, %d moved.", c.Changes.Count(inventory.Added), c.Changes.Count(inventory.Removed), c.Changes.Count(inventory.Moved))
}

func writeDiffText(w io.Writer, c Comparison, color bool) error {
	b := newBuffer(w)
	b.put("--- ", Escape(c.From), "\n+++ ", Escape(c.To), "\n")
	t := palette(color)
	width := 0
	for _, ch := range c.Changes {
		width = max(width, min(40, len(tagText(ch))))
	}
	last := ""
	for i, ch := range c.Changes {
		if i == 0 || ch.Name != last {
			b.put("\n", Escape(ch.Name), "\n")
			last = ch.Name
		}
		mark, paint, digest := "+", green, image.DigestString(ch.Digest)
		switch ch.Kind {
		case inventory.Removed:
			mark, paint = "-", red
		case inventory.Moved:
			mark, paint, digest = "~", yellow, image.DigestString(ch.Was)+" -> "+image.DigestString(ch.Digest)
		}
		b.put("  ", t.paint(paint, mark), " ", fmt.Sprintf("%-*s", width, tagText(ch)), "  ", Escape(digest), "\n")
	}
	b.put("\n", c.sentence(), "\n")
	return b.Flush()
}

func tagText(c inventory.Change) string {
	if c.Tag == "" {
		return "(by digest)"
	}
	return Escape(c.Tag)
}

func writeDiffMarkdown(w io.Writer, c Comparison) error {
	var p page
	p.WriteString("### " + c.sentence() + "\n\nFrom " + code(c.From, 200) + " to " + code(c.To, 200) + ".\n")
	if len(c.Changes) > 0 {
		head := "\n| change | image | tag | digest | was |\n| --- | --- | --- | --- | --- |\n"
		p.section(head, len(c.Changes), "changes", func(i int) string {
			ch := c.Changes[i]
			tag, was := "(by digest)", ""
			if ch.Tag != "" {
				tag = code(ch.Tag, 200)
			}
			if ch.Was != (v1.Hash{}) {
				was = code(image.DigestString(ch.Was), 100)
			}
			return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", ch.Kind, code(ch.Name, 200), tag, code(image.DigestString(ch.Digest), 100), was)
		})
	}
	_, err := io.WriteString(w, p.String())
	return err
}
