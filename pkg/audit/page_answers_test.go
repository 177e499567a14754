package audit

import (
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// While a registry answers with a login page, there is no verdict.
func TestLoginPage(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	reg.Push(t, "prod/apple", apple, "1.0")
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0"))
	header := registrytest.Header("Content-Type", "text/html; charset=utf-8")
	reg.Fault(registrytest.Status(http.StatusOK, header, "<html><body>Sign in</body></html>"))
	for _, test := range []struct{ name, tag, digest string }{
		{"tag and digest", "1.0", apple.Digest},
		{"tag alone", "1.0", ""},
		{"digest alone", "", apple.Digest},
		{"a digest that may belong to a wanted one", "", digestA.String()},
	} {
		if status, text := r.push(test.name, "INSERT", "prod/apple", test.tag, test.digest); status != http.StatusServiceUnavailable || strings.Contains(text, "TRANSACTION") {
			t.Errorf("%s: got %d %s, want 503 and no verdict", test.name, status, text)
		}
	}
	if status, text := r.post("/events/distribution", distributionBody("1", "push", reg.Host, "prod/apple", "", apple.Digest)); status != http.StatusAccepted {
		t.Errorf("got %d %s, want 202", status, text)
	}
	if err := r.auditor.sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if drifts, err := r.auditor.store.drifts(); err != nil || len(drifts) != 1 || len(drifts[0].Findings) != 1 || drifts[0].Findings[0].Kind != unread {
		t.Errorf("got drift %+v, %v, want one finding: unread", drifts, err)
	}
	reg.ClearFaults()
	for _, record := range r.await(1) {
		if record.Verdict != verified || record.Source != "distribution" {
			t.Errorf("got %s, want VERIFIED once the registry answers", record.Text)
		}
	}
}
