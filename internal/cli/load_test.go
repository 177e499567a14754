package cli

import (
	"context"
	"errors"
	"testing"
)

// Work that watches no context, such as reading large manifests, holds up no interrupt.
func TestOfflineWorkIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	began, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	go func() {
		<-began
		interrupt()
	}()
	err := offline(ctx, func() error {
		close(began)
		<-end
		return nil
	})
	if exit, ok := errors.AsType[*exitError](err); !ok || exit.code != exitInterrupted {
		t.Errorf("error %v, want one with exit code %d", err, exitInterrupted)
	}
	failed := errors.New("failed")
	if err := offline(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v, want that of the work", err)
	}
}
