package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cip/pkg/manifest"
	"cip/pkg/output"
	"cip/pkg/resolve"
)

// explainOptions are the flags of cip explain.
type explainOptions struct {
	producerOptions
	output string
}

func newExplainCmd(s streams) *cobra.Command {
	o := &explainOptions{}
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "List the candidates of a source, and why each was taken or not",
		Long: `explain resolves the sources called NAME as cip resolve does, and lists the tags that
were looked at, the best first, with the reason why each was taken or not. It
changes nothing.`,
		Example: `  cip explain flux --thin-manifest-dir=manifests
  cip explain flux --manifest=promote.yaml --output=json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.only = args
			return runExplain(cmd.Context(), o, s)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "form of the explanation: text (default) or json")
	o.producerOptions.addFlags(f)
	return cmd
}

// runExplain carries out cip explain.
func runExplain(ctx context.Context, o *explainOptions, s streams) error {
	asJSON, err := textOrJSON(o.output)
	if err != nil {
		return err
	}
	r, err := newResolution(&o.producerOptions, s)
	if err != nil {
		return err
	}
	all, err := r.all(ctx)
	if err != nil {
		return err
	}
	var found []explanation
	failed := !r.set.OK()
	for _, done := range all {
		for i := range done.results {
			if result := &done.results[i]; result.Choice != nil || result.Err != nil {
				found = append(found, explain(done.file, result))
				failed = failed || result.Err != nil
			}
		}
	}
	if err := writeExplanations(s.out, found, asJSON); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	if failed {
		return &exitError{code: exitFailed}
	}
	return nil
}

// explanation is what was looked at for one producer.
type explanation struct {
	Source     string               `json:"source"` // file:line:column
	Name       string               `json:"name"`
	Repository string               `json:"repository"`
	Tag        string               `json:"tag,omitempty"`
	Digest     string               `json:"digest,omitempty"`
	Locked     string               `json:"locked,omitempty"` // digest in the lock
	Notes      []string             `json:"notes"`
	Candidates []explainedCandidate `json:"candidates"`
	Error      string               `json:"error,omitempty"`
}

type explainedCandidate struct {
	Tag    string `json:"tag,omitempty"`
	Digest string `json:"digest,omitempty"`
	Chosen bool   `json:"chosen"`
	Reason string `json:"reason"`
}

func explain(file *manifest.Producers, result *resolve.Result) explanation {
	p := result.Producer
	e := explanation{
		Source: p.Pos.String(), Name: p.Name, Repository: p.Repository.String(),
		Notes: []string{}, Candidates: []explainedCandidate{},
	}
	if l := file.Find(p); l != nil {
		e.Locked = string(l.Digest)
	}
	if c := result.Choice; c != nil {
		e.Tag, e.Digest, e.Notes = c.Tag, string(c.Digest), append(e.Notes, c.Notes...)
		for _, candidate := range c.Candidates {
			e.Candidates = append(e.Candidates, explainedCandidate{candidate.Tag, string(candidate.Digest), candidate.Chosen, candidate.Reason})
		}
	}
	if result.Err != nil {
		e.Error = result.Err.Error()
	}
	return e
}

func writeExplanations(w io.Writer, found []explanation, asJSON bool) error {
	if asJSON {
		return output.WriteJSON(w, found)
	}
	for i := range found {
		e := &found[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", output.Escape(e.Source), output.Escape(e.Repository))
		line := func(what, text string) {
			if text != "" {
				fmt.Fprintf(w, "  %-7s %s\n", what, output.Escape(text))
			}
		}
		line("chosen", e.Tag)
		line("digest", e.Digest)
		line("locked", e.Locked)
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
				name = c.Digest
			}
			fmt.Fprintf(table, "%s %s\t%s\n", mark, output.Escape(name), output.Escape(c.Reason))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}
