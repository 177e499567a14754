package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// The referrers API has pages, like tag lists.
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
		"never end":                {registrytest.LinkLoop(), nil, 0, "never end", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			api := registrytest.Is(registrytest.Referrers)
			if tc.fault != nil {
				s.Fault(tc.fault, append([]registrytest.Match{api}, tc.match...)...)
			}
			s.Fault(pages, api)
			got, err := newClient(t, registry.Options{}).Referrers(t.Context(), repo(s, "a"), image.Hash(subject), func(string) bool { return false })
			if len(got) != tc.want || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %d referrers, %v, want %d and error %q", len(got), err, tc.want, tc.err)
			}
			if n := s.Count(registrytest.Referrers); n != tc.asked {
				t.Errorf("asked %d times, want %d\n%s", n, tc.asked, s.Summary())
			}
		})
	}
}

// A missing referrers API is recorded for the repository, an existing one for the host.
func TestReferrersAPIIsLearned(t *testing.T) {
	t.Parallel()
	var subjects, referrers []registrytest.Object
	for i := range 5 {
		subjects = append(subjects, registrytest.Image(i, 1))
		referrers = append(referrers, registrytest.Artifact(10+i, "application/vnd.example.sbom", registrytest.Subject(subjects[i])))
	}
	for name, no := range map[string]registrytest.Fault{
		"404":             registrytest.Refuse(404, "NAME_UNKNOWN", "no"),
		"400":             registrytest.Refuse(400, "UNSUPPORTED", "no"),
		"405":             registrytest.Refuse(405, "UNSUPPORTED", "no"),
		"406":             registrytest.Refuse(406, "UNSUPPORTED", "no"),
		"a page":          registrytest.LoginPage(),
		"a lone redirect": registrytest.Status(303, nil, ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			for i, subject := range subjects {
				for _, path := range []string{"a", "b"} {
					s.Push(t, path, subject)
					s.Push(t, path, referrers[i])
				}
			}
			api := registrytest.Is(registrytest.Referrers)
			s.Fault(no, api, registrytest.Repo("a"), registrytest.First(4))
			c := newClient(t, registry.Options{})
			ask := func(path string, i int) int {
				got, err := c.Referrers(t.Context(), repo(s, path), image.Hash(subjects[i].Digest), func(string) bool { return false })
				if err != nil {
					t.Errorf("referrers of %d in %s: got %v", i, path, err)
				}
				return len(got)
			}
			for i, want := range []int{0, 0, 0, 0} { // three digests are asked for
				if got := ask("a", i); got != want {
					t.Errorf("before the API is known: got %d referrers of %d in a, want %d", got, i, want)
				}
			}
			if n := s.Count(registrytest.Referrers); n != 3 {
				t.Errorf("before the API is known: got %d requests, want 3", n)
			}
			if got := ask("b", 0); got != 1 {
				t.Errorf("got %d referrers in b, want 1", got)
			}
			if got := ask("a", 3); got != 0 { // the fourth such answer is about one digest
				t.Errorf("got %d referrers of 3 in a, want 0", got)
			}
			if got := ask("a", 4); got != 1 {
				t.Errorf("got %d referrers of 4 in a, want 1", got)
			}
		})
	}
}

// If the registry refuses a request, the API is not missing.
func TestReferrersAreUnreadable(t *testing.T) {
	t.Parallel()
	subject := registrytest.Image(1, 1)
	for _, status := range []int{401, 403, 429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := registrytest.New(t)
			s.Fault(registrytest.Status(status, registrytest.Header("Retry-After", "0"), ""), registrytest.Is(registrytest.Referrers))
			_, err := newClient(t, registry.Options{}).Referrers(t.Context(), repo(s, "a"), image.Hash(subject.Digest), func(string) bool { return true })
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
				t.Errorf("got %v, want an error with %d", err, status)
			}
		})
	}
}

// After a redirect to another host, only a list of referrers is accepted. Otherwise the
// fallback tag is read at once.
func TestReferrersOfAnotherHost(t *testing.T) {
	t.Parallel()
	subject := registrytest.Image(1, 1)
	one := registrytest.Artifact(2, "application/vnd.example.sbom", registrytest.Subject(subject))
	two := registrytest.Artifact(3, "application/vnd.example.sbom", registrytest.Subject(subject))
	for name, tc := range map[string]struct {
		fault registrytest.Fault // of the other host
		want  string
		asked int
	}{
		"its list":  {nil, one.Digest, 1},
		"429":       {registrytest.Status(429, registrytest.Header("Retry-After", "60"), "<html>"), two.Digest, 1},
		"404":       {registrytest.Status(404, nil, "<html>"), two.Digest, 1},
		"403":       {registrytest.Status(403, nil, "<html>"), two.Digest, 1},
		"401":       {registrytest.Status(401, registrytest.Header("WWW-Authenticate", `Basic realm="x"`), ""), two.Digest, 1},
		"503":       {registrytest.Status(503, nil, ""), two.Digest, 1},
		"a page":    {registrytest.LoginPage(), two.Digest, 1},
		"no answer": {registrytest.ResetBefore(), two.Digest, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, other := registrytest.New(t), registrytest.New(t)
			s.Push(t, "a", subject)
			s.Push(t, "a", two)
			s.Push(t, "a", registrytest.Index([]registrytest.Object{two}), registry.FallbackTag(image.Hash(subject.Digest)))
			other.Push(t, "a", subject)
			other.Push(t, "a", one)
			if tc.fault != nil {
				other.Fault(tc.fault, registrytest.Is(registrytest.Referrers))
			}
			s.Fault(registrytest.Redirect(other.URL), registrytest.Is(registrytest.Referrers))
			got, err := newClient(t, registry.Options{}).Referrers(t.Context(), repo(s, "a"), image.Hash(subject.Digest), func(string) bool { return tc.fault != nil })
			if err != nil || len(got) != 1 || got[0].Digest.String() != tc.want {
				t.Errorf("got %+v, %v, want %s", got, err, tc.want)
			}
			if n := other.Count(registrytest.Referrers); n > tc.asked+1 { // net/http may repeat a GET whose connection broke
				t.Errorf("got %d requests, want %d", n, tc.asked)
			}
		})
	}
}

// A manifest in a list of referrers is only used if its subject is the digest.
func TestSignaturesHaveTheSubject(t *testing.T) {
	t.Parallel()
	s := registrytest.New(t)
	img, other := registrytest.Image(1, 1), registrytest.Image(2, 1)
	key := registrytest.NewKey(t, "p256")
	s.Push(t, "a", img)
	claim := key.Layer(registrytest.Claim(img.Digest))
	for _, o := range []registrytest.Object{
		registrytest.Signatures([]registrytest.Blob{claim}), registrytest.Signatures([]registrytest.Blob{claim}, registrytest.Subject(other)),
	} {
		s.Push(t, "a", o)
		s.Push(t, "a", registrytest.Index([]registrytest.Object{o}), registry.FallbackTag(image.Hash(img.Digest)))
		for got, err := range newClient(t, registry.Options{}).Signatures(t.Context(), repo(s, "a"), image.Hash(img.Digest)) {
			t.Errorf("got %+v, %v, want none", got, err)
		}
	}
}
