package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	rt "sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// verified runs cip verify for the promoted image, and returns its outcome.
func (a *attested) verified(code int, args ...string) outcome {
	a.t.Helper()
	mine := []string{"--certificate-identity=" + promoter.SAN, "--certificate-oidc-issuer=" + promoter.Issuer}
	out := a.begin("verify", append(mine, args...)...).wait(a.t, runLimit)
	if out.code != code {
		a.t.Errorf("cip verify %v: exit code %d, want %d\n%s", args, out.code, code, out)
	}
	return out
}

// TestEvidenceIsFound answers in place of the list of referrers, while all else succeeds:
// what cip run has written, cip verify finds. Where nobody could find it, nothing is written,
// and the next try writes it.
func TestEvidenceIsFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer rt.Fault
		cause  string // of the failure; empty: all is written
	}{
		"404":    {rt.Refuse(http.StatusNotFound, "NOT_FOUND", "no"), ""},
		"501":    {rt.Refuse(http.StatusNotImplemented, "UNSUPPORTED", "no"), ""},
		"a page": {rt.LoginPage(), ""},
		"403":    {rt.Refuse(http.StatusForbidden, "DENIED", "no"), "403 DENIED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttested(t)
			a.dst.Fault(tc.answer, rt.Is(rt.Referrers))
			if tc.cause == "" {
				a.run(0, "--confirm")
				a.verified(0)
				return
			}
			out := a.run(1, "--confirm")
			if got := a.evidenceOf(out); slices.ContainsFunc(got, func(text string) bool { return !strings.HasSuffix(text, " failed") }) {
				t.Errorf("got %q, want all failed", got)
			}
			if text := "readers could not find it: listing referrers of "; !strings.Contains(out.stdout+out.stderr, text) || !strings.Contains(out.stdout+out.stderr, tc.cause) {
				t.Errorf("got %s, want %q and %q", out, text, tc.cause)
			}
			if got := a.dst.Tags(t, "us/orchard/apple")["v1"]; got != a.index.Digest {
				t.Errorf("got tag v1 at %q, want the image promoted", got)
			}
			a.verified(1)
			a.dst.ClearFaults()
			a.verified(0, "--confirm")
			a.verified(0)
		})
	}
}
