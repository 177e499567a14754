package wire

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// A host that answers 429 to everything is given up within 2 minutes.
func TestThrottledHostIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		retryAfter string
		want       []string
	}{
		"without a time":  {"", []string{"429 Too Many Requests: busy", "(tries: "}},
		"a second":        {"1", []string{"429 Too Many Requests: busy", "(tries: "}},
		"a minute":        {"61", []string{"giving up on registry.example", "(tries: ", "the host asks to wait for 1m1s"}},
		"more than a run": {"3600", []string{"429 Too Many Requests: busy", "the host asks to wait for 1h0m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, err := New(Options{})
				if err != nil {
					t.Fatal(err)
				}
				h := w.host("registry.example")
				h.scheme = "https"
				r := &Request{Method: http.MethodGet, Repo: image.NewRepository(h.name, "a"), Path: "a/manifests/1"}
				began := time.Now()
				_, err = w.tries(t.Context(), h, r, func(ctx context.Context) (*http.Response, verdict, error) {
					req, err := r.build(ctx, h, "")
					if err != nil {
						return nil, final, err
					}
					slot, err := h.pace.Acquire(ctx)
					if err != nil {
						return nil, final, err
					}
					defer slot.Done()
					resp := &http.Response{
						StatusCode: http.StatusTooManyRequests, Request: req, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("busy")),
					}
					if tc.retryAfter != "" {
						resp.Header.Set("Retry-After", tc.retryAfter)
					}
					h.throttle(slot, req, resp)
					return resp, again, nil
				})
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("got an error after %v, want one within 2 minutes", took)
				}
				for _, want := range tc.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want an error with %q", err, want)
					}
				}
			})
		})
	}
}
