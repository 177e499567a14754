package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// The referrers API is read page by page as tag lists are.
func TestReferrersPages(t *testing.T) {
	t.Parallel()
	subject := "sha256:" + strings.Repeat("a", 64)
	pages := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		page := len(r.URL.Query().Get("last")) // of three
		w.Header().Set("Content-Type", registrytest.OCIIndex)
		if page < 2 {
			w.Header().Set("Link", fmt.Sprintf(`</v2/a/referrers/%s?last=%s>; rel="next"`, subject, strings.Repeat("x", page+1)))
		}
		text := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":"sha256:%064d","size":1}]}`, registrytest.OCIManifest, page)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		fmt.Fprint(w, text)
	}
	second := func(r *http.Request) bool { return r.URL.Query().Get("last") == "x" }
	for name, tc := range map[string]struct {
		fault registrytest.Fault
		match []registrytest.Match
		want  int
		err   string
		asked int
	}{
		"whole":                    {nil, nil, 3, "", 3},
		"breaks off":               {registrytest.Truncate(40), []registrytest.Match{registrytest.First(3)}, 3, "", 6},
		"second breaks off":        {registrytest.Truncate(40), []registrytest.Match{second, registrytest.First(2)}, 3, "", 5},
		"breaks off for ever":      {registrytest.Truncate(40), nil, 0, "parsing the list", 4},
		"no such API":              {registrytest.Refuse(404, "NOT_FOUND", "no"), nil, 0, "", 1},
		"a page for people":        {registrytest.Status(200, registrytest.Header("Content-Type", "text/html"), "<p>"), nil, 0, "", 1},
		"second is not found":      {registrytest.Refuse(404, "NOT_FOUND", "no"), []registrytest.Match{second}, 0, "page 2", 2},
		"second is something else": {registrytest.Status(200, nil, "<p>"), []registrytest.Match{second}, 0, "page 2", 2},
		"never end":                {registrytest.LinkLoop(), nil, 0, "no end", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			api := registrytest.Is(registrytest.Referrers)
			if tc.fault != nil {
				s.Fault(tc.fault, append([]registrytest.Match{api}, tc.match...)...)
			}
			s.Fault(pages, api)
			got, err := newClient(t, registry.Options{}).Referrers(t.Context(), repo(s, "a"), subject, func(string) bool { return false })
			if len(got) != tc.want || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%d referrers, %v", len(got), err)
			}
			if n := s.Count(registrytest.Referrers); n != tc.asked {
				t.Errorf("asked %d times, want %d\n%s", n, tc.asked, s.Summary())
			}
		})
	}
}
