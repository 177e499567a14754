package cli

import (
	"context"
	"errors"
	"fmt"
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

func TestOneLine(t *testing.T) {
	t.Parallel()
	a, b, c := errors.New("a"), errors.New("b\nb"), errors.New("c")
	tests := map[string]struct {
		err  error
		want string
	}{
		"one":                {a, "a"},
		"joined":             {errors.Join(a, c), "a; c"},
		"wrapped":            {fmt.Errorf("reading: %w", errors.Join(a, c)), "reading: a; c"},
		"nested":             {errors.Join(a, fmt.Errorf("x: %w", errors.Join(b, c))), "a; x: b\nb; c"},
		"two, not joined":    {fmt.Errorf("%w: %w", a, c), "a: c"},
		"newlines of others": {fmt.Errorf("x: %w", b), "x: b\nb"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := oneLine(tc.err); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
