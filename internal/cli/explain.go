package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// explainOptions are the flags of cip explain.
type explainOptions struct {
	selectorOptions
	output string
}

func newExplainCmd(s streams) *cobra.Command {
	o := &explainOptions{}
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "List the candidates of a selector, and why each was selected or not",
		Long: `explain resolves the selectors called NAME as cip resolve does. It lists all candidates,
the best first, with the reason why each was selected or not. It changes nothing.`,
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
	o.selectorOptions.addFlags(f)
	return cmd
}

// runExplain carries out cip explain.
func runExplain(ctx context.Context, o *explainOptions, s streams) error {
	format, err := output.TextOrJSON(o.output, "list of candidates")
	if err != nil {
		return err
	}
	r, err := newResolution(ctx, &o.selectorOptions, s)
	if err != nil {
		return err
	}
	defer r.tree.Close()
	all, err := r.all(ctx)
	if err != nil {
		return err
	}
	var found []output.Explanation
	failed := !r.set.OK()
	for _, done := range all {
		for i := range done.results {
			if result := &done.results[i]; result.Choice != nil || result.Err != nil {
				found = append(found, explain(done.file, result))
				failed = failed || result.Err != nil
			}
		}
	}
	if err := output.WriteExplanations(s.out, found, format); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	if failed {
		return &exitError{code: exitFailed}
	}
	return nil
}

func explain(file *selector.File, result *resolve.Result) output.Explanation {
	p := result.Selector
	e := output.Explanation{
		Source: p.Pos.String(), Name: p.Name, Repository: p.Repository.String(),
		Notes: []string{}, Candidates: []output.Candidate{},
	}
	if l := file.Find(p); l != nil {
		e.Locked = l.Digest
	}
	if c := result.Choice; c != nil {
		e.Tag, e.Digest, e.Notes, e.Candidates = c.Tag, c.Digest, append(e.Notes, c.Notes...), candidates(c)
	}
	if result.Err != nil {
		e.Error = result.Err.Error()
	}
	return e
}

// candidates returns what was looked at for a choice.
func candidates(c *resolve.Choice) []output.Candidate {
	all := make([]output.Candidate, len(c.Candidates))
	for i, looked := range c.Candidates {
		all[i] = output.Candidate(looked)
	}
	return all
}
