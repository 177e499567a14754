package output

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ListedTag is one tag of an image tags file.
type ListedTag struct {
	Tag    string            `json:"tag"`
	Path   []string          `json:"path"` // over its aliases, itself first
	Labels map[string]string `json:"labels"`
	Error  string            `json:"error,omitempty"`
}

// ResolvedTag is what a reference with a tag and labels leads to.
type ResolvedTag struct {
	Reference  string            `json:"reference"`
	Repository string            `json:"repository"`
	Digest     v1.Hash           `json:"digest"`
	Tag        string            `json:"tag"`
	Path       []string          `json:"path"`
	Labels     map[string]string `json:"labels"`
	Candidates []Candidate       `json:"candidates"`
	Notes      []string          `json:"notes"`
}

// WriteTags writes tags, as Text, which is a table, or JSON.
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

// WriteResolvedTag writes what a reference leads to, as Text, which is the digest alone, or JSON.
func WriteResolvedTag(w io.Writer, t ResolvedTag, f Format) error {
	if f == JSON {
		return WriteJSON(w, t)
	}
	_, err := fmt.Fprintln(w, t.Digest)
	return err
}

// Labels returns labels in order, as people read them.
func Labels(labels map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+labels[name])
	}
	return strings.Join(all, ", ")
}
