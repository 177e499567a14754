package cli

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"sigs.k8s.io/k8s-container-image-promoter/internal/demo"
)

func newDemoCmd(s streams) *cobra.Command {
	serve := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a promotion on an embedded registry",
		Long: `demo starts a registry on loopback, fills it with staging images and promotes
manifests/demo: the plan, the promotion, a second run that has nothing to do,
and a snapshot of the result. It needs neither network nor files. With --serve
the registry then keeps running, with what was promoted, two run images and
apps on them.`,
		Example: "  cip demo\n  cip demo --serve",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run := func(ctx context.Context, args []string) (string, int) {
				var out bytes.Buffer
				s := streams{out: &out, err: s.err, getenv: func(string) string { return "" }, build: s.build}
				code := execute(ctx, newRootCmd(s), args, s)
				return out.String(), code
			}
			code, err := demo.Show(cmd.Context(), demo.Options{Out: s.out, Err: s.err, Serve: serve, Run: run})
			if err == nil && code != exitOK {
				err = &exitError{code: code}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&serve, "serve", false, "keep the registry running, on port 5000 if that is free")
	return cmd
}
