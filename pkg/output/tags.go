package output

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/imagetags"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

// ListedTag describes a tag of an image tags file.
type ListedTag struct {
	Tag    string            `json:"tag"`
	Path   []string          `json:"path"` // the tag, then its aliases
	Labels map[string]string `json:"labels"`
	Error  string            `json:"error,omitempty"`
}

// ResolvedTag is the image that a tag and labels select.
type ResolvedTag struct {
	Reference  string              `json:"reference"`
	Repository string              `json:"repository"`
	Digest     v1.Hash             `json:"digest"`
	Tag        string              `json:"tag"`
	Path       []string            `json:"path"`
	Labels     map[string]string   `json:"labels"`
	Candidates []resolve.Candidate `json:"candidates"`
	Notes      []string            `json:"notes"`
}

// ListTags returns all tags of an image tags file.
func ListTags(tags *imagetags.File) []ListedTag {
	all := []ListedTag{}
	for _, tag := range tags.Tags() {
		t := ListedTag{Tag: tag, Labels: map[string]string{}}
		var err error
		if t.Path, err = tags.Chain(tag); err != nil {
			t.Error = err.Error()
		} else {
			t.Labels = tags.Labels[t.Path[len(t.Path)-1]]
		}
		all = append(all, t)
	}
	return all
}

// ExplainTag returns lines that explain a choice: aliases, labels, candidates and notes.
func ExplainTag(m imagetags.Merged, c *resolve.Choice) []string {
	var lines []string
	if len(m.Path) > 0 {
		lines = append(lines, "tag: "+strings.Join(m.Path, " -> "))
	}
	lines = append(lines, "labels: "+Labels(m.Labels))
	for _, k := range c.Candidates {
		text := k.Digest.String() + " " + k.Reason
		if k.Tag != "" {
			text = "tag " + k.Tag + ": " + text
		}
		if k.Chosen {
			text += ": chosen"
		}
		lines = append(lines, text)
	}
	return append(lines, c.Notes...)
}

// WriteTags writes tags as Text (a table) or JSON.
func WriteTags(w io.Writer, all []ListedTag, f Format) error {
	if f == JSON {
		return WriteJSON(w, all)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TAG\tALIAS OF\tLABELS")
	for _, t := range all {
		labels := Labels(t.Labels)
		if t.Error != "" {
			labels = "error: " + t.Error
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", Escape(t.Tag), Escape(strings.Join(t.Path[1:], " -> ")), Escape(labels))
	}
	return table.Flush()
}

// WriteResolvedTag writes an image as JSON, or its digest as Text.
func WriteResolvedTag(w io.Writer, t ResolvedTag, f Format) error {
	if f == JSON {
		return WriteJSON(w, t)
	}
	_, err := fmt.Fprintln(w, t.Digest)
	return err
}

// Labels returns sorted labels as NAME=VALUE, separated by commas.
func Labels(labels map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+labels[name])
	}
	return strings.Join(all, ", ")
}
