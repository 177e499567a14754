package cli

import (
	"context"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/output"
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
		Short: "List the candidates of a selector with the reason for each",
		Long: `explain runs the selectors called NAME as cip resolve does. NAME is that of a
selector, of its image, or of an ImagePolicy. explain lists the tags that were
considered, best first, and why each one was chosen or rejected. For a git
revision it also lists the newer commits that have no image. It changes nothing.`,
		Example: `  cip explain flux --thin-manifest-dir=manifests
  cip explain flux --manifest=promote.yaml --output=json`,
		Args: countArgs(1, 1),
		RunE: o.withLog(s, o.run),
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "output `format`: text or json (default text)")
	o.selectorOptions.addFlags(f)
	return cmd
}

// run carries out cip explain.
func (o *explainOptions) run(ctx context.Context, s *session, names []string) error {
	o.only = names
	format, err := output.TextOrJSON(o.output, "list of candidates")
	if err != nil {
		return err
	}
	r, err := newResolution(ctx, &o.selectorOptions, s)
	if err != nil {
		return err
	}
	defer r.Close()
	all, err := r.all(ctx)
	if err != nil {
		return err
	}
	var found []output.Explanation
	failed := !r.Set.OK()
	for _, file := range all {
		for _, result := range file.Ran() {
			found = append(found, output.Explain(file.File, result))
			failed = failed || result.Err != nil
		}
	}
	if err := output.WriteExplanations(s.out, found, format); err != nil {
		return err
	}
	return failIf(failed)
}
