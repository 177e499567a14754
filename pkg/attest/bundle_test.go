package attest_test

import (
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
)

// What is written about a new image can be found, whatever the registry answers instead of
// the list of referrers. Nothing is signed and written that could not be found.
func TestFindable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer registrytest.Fault
		want   string // of the failure; empty: all is written
	}{
		"404":           {registrytest.Refuse(http.StatusNotFound, "NOT_FOUND", "no"), ""},
		"405":           {registrytest.Refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "no"), ""},
		"501":           {registrytest.Refuse(http.StatusNotImplemented, "UNSUPPORTED", "no"), ""},
		"a page":        {registrytest.LoginPage(), ""},
		"401":           {registrytest.Refuse(http.StatusUnauthorized, "UNAUTHORIZED", "no"), "401 UNAUTHORIZED"},
		"403":           {registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), "403 DENIED"},
		"an empty list": {registrytest.Status(http.StatusOK, registrytest.Header("Content-Type", registrytest.OCIIndex), ""), "parsing the list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			img := registrytest.Image(1, 1)
			r.promote(img, "v1")
			r.subjects[0].Absent, r.subjects[0].From = true, r.source // when the run was planned
			bundle := r.store.Bundle(owner, registrytest.Statement(sbom, img.Digest))
			result := accepting(3, r.attached(sigstoretest.Referrer(img, bundle), bundle, sbom, img.Digest))
			r.o.Judge, r.o.Signatures = judges{img.Digest: {result}}, false
			r.server.Fault(tc.answer, registrytest.Is(registrytest.Referrers), registrytest.Repo("prod/apple"))
			r.server.Reset()
			items, _ := r.run(t.Context())
			if len(items) != 3 {
				t.Fatalf("got %q, want an attestation, a record and a summary", outcomes(items))
			}
			for _, got := range outcomes(items) {
				failed := strings.Contains(got, "nothing is written, because readers could not find it") && strings.Contains(got, tc.want)
				if tc.want == "" && !strings.HasSuffix(got, "done") || tc.want != "" && !failed {
					t.Errorf("got %q, want it done, or a failure with %q", got, tc.want)
				}
			}
			if tc.want != "" {
				if writes := r.server.Writes(); len(writes) > 0 {
					t.Errorf("got writes %v, want none", writes)
				}
				return
			}
			for _, predicateType := range []string{attest.RecordType, attest.SummaryType, sbom} {
				if n := len(r.statements(img.Digest, predicateType)); n != 1 {
					t.Errorf("got %d of type %s, want one", n, predicateType)
				}
			}
		})
	}
}

// A repository that lists referrers is asked once, however many images are new.
func TestFindableIsAskedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.o.Signatures = false
	for i := range 5 {
		r.promote(registrytest.Image(i, 1), "v1")
		r.subjects[i].Absent, r.subjects[i].From = true, r.source
	}
	r.server.Reset()
	items, _ := r.run(t.Context())
	if n := r.server.Count(registrytest.Referrers); n != 1 || len(items) != 10 {
		t.Errorf("got %d requests for referrers and %q, want one and 10 pieces", n, outcomes(items))
	}
	if got := len(r.statements(registrytest.Image(0, 1).Digest, attest.RecordType)); got != 1 {
		t.Errorf("got %d records, want one", got)
	}
}
