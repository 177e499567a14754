package cli

import (
	"context"
	"io"
	"testing"

	"github.com/spf13/cobra"
)

// An interrupt does not cut off the auditor, whatever its program is called.
func TestInterruptedAuditorDrains(t *testing.T) {
	t.Parallel()
	s := streams{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
	for name, tc := range map[string]struct {
		root *cobra.Command
		args []string
	}{
		"cip audit":   {newRootCmd(s), []string{"audit"}},
		"cip-auditor": {newAuditorCmd(s), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, _, err := tc.root.Find(tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if cmd.Annotations[drainsKey] == "" {
				t.Fatal("got a command without the annotation, want one with it")
			}
			ctx, interrupt := context.WithCancel(t.Context())
			cmd.RunE = func(*cobra.Command, []string) error {
				interrupt()
				return nil
			}
			if code := execute(ctx, tc.root, tc.args, s); code != exitOK {
				t.Errorf("exit code: got %d, want %d", code, exitOK)
			}
		})
	}
}
