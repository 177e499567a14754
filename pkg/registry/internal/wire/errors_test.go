package wire

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func TestErrorWrapsTransportError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("reading: %w", &Error{Status: http.StatusNotFound, Code: transport.ManifestUnknownErrorCode, Message: "unknown"})
	got, ok := errors.AsType[*transport.Error](err)
	if !ok {
		t.Fatalf("got %v, want an error that wraps a *transport.Error", err)
	}
	want := &transport.Error{
		StatusCode: http.StatusNotFound,
		Errors:     []transport.Diagnostic{{Code: transport.ManifestUnknownErrorCode, Message: "unknown"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(transport.Error{})); diff != "" {
		t.Errorf("transport.Error (-want +got):\n%s", diff)
	}
}
