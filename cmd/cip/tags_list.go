package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cip/pkg/output"
)

// tagsListOptions are the flags of cip tags list.
type tagsListOptions struct {
	imageTagsOptions
	logOptions
	output string
}

func newTagsListCmd(s streams) *cobra.Command {
	o := &tagsListOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print the tags of an image tags file, with their aliases and labels",
		Long: `list prints every tag of an image tags file: the way over its aliases, and the labels
at the end. No request is sent. What is wrong with a tag stands in place of its
labels; cip tags verify fails on it.`,
		Example: "  cip tags list --image-tags=app.json\n  cip tags list --image-tags=app.json --output=json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runTagsList(o, s) },
	}
	f := cmd.Flags()
	o.imageTagsOptions.addFlags(f)
	f.StringVarP(&o.output, "output", "o", "", "form of the list: text or json (default text)")
	o.logOptions.addFlags(f)
	return cmd
}

// listedTag is the JSON form of one tag.
type listedTag struct {
	Tag    string            `json:"tag"`
	Path   []string          `json:"path"`
	Labels map[string]string `json:"labels"`
	Error  string            `json:"error,omitempty"`
}

// runTagsList carries out cip tags list.
func runTagsList(o *tagsListOptions, s streams) error {
	log, _, err := o.logger(s)
	if err != nil {
		return err
	}
	asJSON, err := textOrJSON(o.output)
	if err != nil {
		return err
	}
	tags, err := o.required(log)
	if err != nil {
		return err
	}
	all := []listedTag{}
	for _, tag := range tags.Tags() {
		t := listedTag{Tag: tag, Labels: map[string]string{}}
		if t.Path, err = tags.Chain(tag); err != nil {
			t.Error = err.Error()
		} else {
			t.Labels = tags.Labels[t.Path[len(t.Path)-1]]
		}
		all = append(all, t)
	}
	if asJSON {
		return output.WriteJSON(s.out, all)
	}
	return writeTags(s.out, all)
}

// writeTags writes tags as a table.
func writeTags(w io.Writer, all []listedTag) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TAG\tALIAS OF\tLABELS")
	for _, t := range all {
		labels := labelList(t.Labels)
		if t.Error != "" {
			labels = "error: " + t.Error
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", output.Escape(t.Tag), output.Escape(strings.Join(t.Path[1:], " -> ")), output.Escape(labels))
	}
	return table.Flush()
}
