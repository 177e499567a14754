package registrytest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/google"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// answer is a response with its body read, as far as that went.
type answer struct {
	*http.Response
	body []byte
	err  error // of the request, or of reading its body
}

// ask sends one request; header is name, value, name, value.
func ask(t *testing.T, s *Server, method, path, body string, header ...string) answer {
	t.Helper()
	return askWith(t, s.Client(), s, method, path, body, header...)
}

func askWith(t *testing.T, c *http.Client, s *Server, method, path, body string, header ...string) answer {
	t.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = s.URL + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return answer{resp, raw, err}
}

// want fails unless a was answered with this status.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.err != nil {
		t.Fatalf("request: %v", a.err)
	}
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	return a
}

func (a answer) code(t *testing.T) string {
	t.Helper()
	var e struct{ Errors []struct{ Code string } }
	if err := json.Unmarshal(a.body, &e); err != nil || len(e.Errors) != 1 {
		t.Fatalf("error document %q: %v", a.body, err)
	}
	return e.Errors[0].Code
}

func ref(t *testing.T, s *Server, text string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(s.Host + "/" + text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARealClientCanPushAndPull(t *testing.T) {
	cases := map[string][]Option{
		"plain":        nil,
		"TLS":          {TLS()},
		"HTTP/2":       {HTTP2()},
		"permissive":   {Permissive()},
		"distribution": {Distribution()},
		"anonymous":    {HTTP2(), TokenAuth(nil, AnonymousPull())},
	}
	for name, opts := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(t, opts...)
			o := MultiArch(1, 2, 2)
			s.Push(t, "apps/apple", o, "1.0")
			if got := s.Requests(); len(got) > 0 {
				t.Fatalf("got requests %v of Push recorded, want none", got)
			}
			idx, err := remote.Index(ref(t, s, "apps/apple:1.0"), remote.WithTransport(s.Client().Transport))
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(idx); err != nil {
				t.Error(err)
			}
			if s.Count(ManifestGet, ManifestHead) == 0 || s.Count(BlobGet) == 0 {
				t.Errorf("got %d requests for manifests and %d for blobs, want some of each\n%s", s.Count(ManifestGet, ManifestHead), s.Count(BlobGet), s.Summary())
			}
			if strings.Contains(name, "anonymous") {
				return
			}
			if err := remote.WriteIndex(ref(t, s, "copy:2"), idx, remote.WithTransport(s.Client().Transport)); err != nil {
				t.Fatal(err)
			}
			if got := s.Tags(t, "copy"); !cmp.Equal(got, map[string]string{"2": o.Digest}) {
				t.Errorf("got tags %v, want 2=%s", got, o.Digest)
			}
			if problems := s.Complete(t, "copy", "2"); problems != nil {
				t.Errorf("got problems %q, want none", problems)
			}
			if s.OpenUploads() != 0 {
				t.Errorf("got %d open uploads, want 0\n%s", s.OpenUploads(), s.Summary())
			}
		})
	}
}

func TestProtocolIsWhatWasAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		opts  []Option
		proto string
		tls   bool
		alpn  string
	}{
		"plain":  {nil, "HTTP/1.1", false, ""},
		"TLS":    {[]Option{TLS()}, "HTTP/1.1", true, ""},
		"HTTP/2": {[]Option{HTTP2()}, "HTTP/2.0", true, "h2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t, c.opts...)
			a := ask(t, s, "GET", "/v2/", "").want(t, 200)
			if a.Proto != c.proto || s.Requests()[0].Proto != c.proto {
				t.Errorf("client saw %s, server %s, want %s", a.Proto, s.Requests()[0].Proto, c.proto)
			}
			if a.TLS != nil && a.TLS.NegotiatedProtocol != c.alpn {
				t.Errorf("negotiated %q, want %q", a.TLS.NegotiatedProtocol, c.alpn)
			}
			if (a.TLS != nil) != c.tls {
				t.Errorf("TLS state %v, want TLS: %v", a.TLS, c.tls)
			}
		})
	}
}

func TestCAFileVerifiesTheServer(t *testing.T) {
	s := New(t, TLS())
	raw, err := os.ReadFile(s.CAFile(t))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		t.Fatalf("got no certificate in %s, want one", raw)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	askWith(t, &http.Client{Transport: tr}, s, "GET", "/v2/", "").want(t, 200)
}

func TestStrictnessOfOlaregShowsThrough(t *testing.T) {
	s := New(t)
	o := Image(1, 1)
	put := func(ref string) answer {
		return ask(t, s, "PUT", "/v2/r/manifests/"+ref, string(o.Raw), "Content-Type", o.MediaType)
	}
	if a := put("1.0").want(t, 400); !bytes.Contains(a.body, []byte("MANIFEST_BLOB_UNKNOWN")) {
		t.Errorf("without blobs: got %s, want code MANIFEST_BLOB_UNKNOWN", a.body)
	}
	s.PushBlob(t, "r", o.Blobs[0])
	s.PushBlob(t, "r", o.Blobs[1])
	if a := put(Image(2, 1).Digest).want(t, 400); a.code(t) != "DIGEST_INVALID" {
		t.Errorf("by another digest: got %s, want code DIGEST_INVALID", a.body)
	}
	put("1.0").want(t, 201)
	idx := Index([]Object{Image(3, 1)})
	a := ask(t, s, "PUT", "/v2/r/manifests/i", string(idx.Raw), "Content-Type", idx.MediaType).want(t, 400)
	if a.code(t) != "MANIFEST_BLOB_UNKNOWN" {
		t.Errorf("without children: got %s, want code MANIFEST_BLOB_UNKNOWN", a.body)
	}
}

func TestSparseAcceptsMissingParts(t *testing.T) {
	s := New(t, Sparse())
	for i, o := range []Object{Image(1, 1), Index([]Object{Image(2, 1)})} {
		ask(t, s, "PUT", fmt.Sprintf("/v2/r/manifests/%d", i), string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	}
	if got := len(s.Complete(t, "r", "0")); got != 2 {
		t.Errorf("%d parts missing, want config and layer", got)
	}
}

func TestMount(t *testing.T) {
	for name, c := range map[string]struct {
		opts   []Option
		status int
		open   int
	}{
		"olareg mounts":              {nil, 201, 0},
		"permissive opens a session": {[]Option{Permissive()}, 202, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t, c.opts...)
			b := NewBlob("text/plain", []byte("content"))
			s.PushBlob(t, "from", b)
			ask(t, s, "POST", "/v2/to/blobs/uploads/?mount="+b.Digest+"&from=from", "").want(t, c.status)
			if got := s.Count(Mount); got != 1 || s.OpenUploads() != c.open {
				t.Errorf("mounts %d, open uploads %d (want %d)", got, s.OpenUploads(), c.open)
			}
			if !s.HasBlob(t, "to", b.Digest) {
				t.Errorf("got no blob %s in to, want it there", b.Digest) // the permissive registry has one pool for all
			}
		})
	}
}

func TestCatalog(t *testing.T) {
	s := New(t, WithCatalog())
	if a := ask(t, s, "GET", "/v2/_catalog", "").want(t, 200); !strings.Contains(string(a.body), `"repositories":[]`) {
		t.Errorf("empty catalog: got %s, want no repositories", a.body)
	}
	for i, repo := range []string{"c", "a/x", "b"} {
		s.Push(t, repo, Image(i, 1), "1")
	}
	var pages []string
	for next := "/v2/_catalog?n=2"; next != ""; {
		a := ask(t, s, "GET", next, "").want(t, 200)
		pages = append(pages, strings.TrimSpace(string(a.body)))
		next = nextPage(a.Header.Get("Link"))
	}
	want := []string{`{"repositories":["a/x","b"]}`, `{"repositories":["c"]}`}
	if diff := cmp.Diff(want, pages); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	ask(t, s, "GET", "/v2/_catalog?n=x", "").want(t, 400)
	if diff := cmp.Diff([]string{"a/x", "b", "c"}, s.Repositories()); diff != "" {
		t.Error(diff)
	}
	ask(t, New(t), "GET", "/v2/_catalog", "").want(t, 404)
}

func TestPageSizeCapsWhatIsAskedFor(t *testing.T) {
	s := New(t, PageSize(2))
	s.Push(t, "r", Image(1, 1), "a", "b", "c")
	for _, query := range []string{"", "?n=1000"} {
		a := ask(t, s, "GET", "/v2/r/tags/list"+query, "").want(t, 200)
		if !strings.Contains(string(a.body), `["a","b"]`) {
			t.Errorf("first page: got %s, want tags a and b", a.body)
		}
		a = ask(t, s, "GET", nextPage(a.Header.Get("Link")), "").want(t, 200)
		if !strings.Contains(string(a.body), `["c"]`) || a.Header.Get("Link") != "" {
			t.Errorf("second page: got %s and Link %q, want tag c and none", a.body, a.Header.Get("Link"))
		}
	}
}

func TestDistributionViews(t *testing.T) {
	o := Image(1, 1)
	sig := Artifact(2, "example/signature", Subject(o))
	list, refs := "/v2/r/tags/list", "/v2/r/referrers/"+o.Digest
	multi := "/v2/r/manifests/" + o.Digest + "?tag=a&tag=b"

	s := New(t)
	ask(t, s, "GET", list, "").want(t, 200)
	s.Push(t, "r", o)
	s.Push(t, "r", sig)
	a := ask(t, s, "PUT", multi, string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	if got := confirmedTags(a.Header); !cmp.Equal(got, []string{"a", "b"}) || len(s.Tags(t, "r")) != 2 {
		t.Errorf("olareg: got %v confirmed and tags %v, want a and b confirmed, and two tags", got, s.Tags(t, "r"))
	}
	if a := ask(t, s, "GET", refs, "").want(t, 200); !strings.Contains(string(a.body), sig.Digest) {
		t.Errorf("got referrers %s, want %s", a.body, sig.Digest)
	}

	s = New(t, Distribution())
	s.Push(t, "r", o)
	ask(t, s, "GET", list, "").want(t, 404)
	ask(t, s, "GET", refs, "").want(t, 404)
	a = ask(t, s, "PUT", multi, string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	if got := confirmedTags(a.Header); got != nil || len(s.Tags(t, "r")) != 0 {
		t.Errorf("got %v confirmed and tags %v, want none", got, s.Tags(t, "r"))
	}
	s.PushBlob(t, "r", sig.Blobs[0])
	s.PushBlob(t, "r", sig.Blobs[1])
	a = ask(t, s, "PUT", "/v2/r/manifests/s", string(sig.Raw), "Content-Type", sig.MediaType).want(t, 201)
	if a.Header.Get("OCI-Subject") != "" {
		t.Errorf("got subject %s confirmed, want none", a.Header.Get("OCI-Subject"))
	}
	ask(t, s, "GET", list, "").want(t, 200)
}

func TestReferrersPutAtOnceAreAllListed(t *testing.T) {
	s := New(t)
	o := Image(1, 1)
	s.Push(t, "r", o)
	var wg sync.WaitGroup
	for i := range 16 {
		sig := Artifact(i, "example/signature", Subject(o))
		for _, b := range sig.Blobs {
			s.PushBlob(t, "r", b)
		}
		wg.Go(func() {
			ask(t, s, "PUT", "/v2/r/manifests/"+sig.Digest, string(sig.Raw), "Content-Type", sig.MediaType)
		})
	}
	wg.Wait()
	a := ask(t, s, "GET", "/v2/r/referrers/"+o.Digest, "").want(t, 200)
	if got := bytes.Count(a.body, []byte("example/signature")); got != 16 {
		t.Errorf("got %d referrers, want 16", got)
	}
}

func TestGoogleListing(t *testing.T) {
	s := New(t, GoogleListing())
	apple, index := Image(1, 2), MultiArch(2, 2, 1)
	s.Push(t, "p/apple", apple, "1.0", "latest")
	s.Push(t, "p/apple/core", index, "2")
	got, err := google.List(ref(t, s, "p/apple:x").Context(), google.WithTransport(s.Client().Transport))
	if err != nil {
		t.Fatal(err)
	}
	var size uint64
	for _, b := range apple.Blobs {
		size += uint64(len(b.Raw))
	}
	info := got.Manifests[apple.Digest]
	if info.Size != size || info.MediaType != apple.MediaType || info.Uploaded.IsZero() {
		t.Errorf("manifest info %+v, want size %d", info, size)
	}
	if diff := cmp.Diff([]string{"1.0", "latest"}, info.Tags); diff != "" {
		t.Error(diff)
	}
	if !cmp.Equal(got.Children, []string{"core"}) || !cmp.Equal(got.Tags, []string{"1.0", "latest"}) || got.Name != "p/apple" {
		t.Errorf("got list %+v, want p/apple with child core and tags 1.0 and latest", got)
	}
	if a := ask(t, s, "GET", "/v2/p/tags/list", "").want(t, 200); !strings.Contains(string(a.body), `"child":["apple"]`) {
		t.Errorf("a name without manifests: got %s, want child apple", a.body)
	}
	ask(t, s, "GET", "/v2/q/tags/list", "").want(t, 404)

	// Deleting shows, and untagged children of an index are listed without tags.
	s.DeleteTag(t, "p/apple", "latest")
	a := ask(t, s, "GET", "/v2/p/apple/tags/list", "").want(t, 200)
	if !strings.Contains(string(a.body), `"tags":["1.0"]`) {
		t.Errorf("after delete: got %s, want only tag 1.0", a.body)
	}
	seen := map[string]bool{}
	for next := "/v2/p/apple/core/tags/list?n=2"; next != ""; {
		a := ask(t, s, "GET", next, "").want(t, 200)
		var page GoogleList
		if err := json.Unmarshal(a.body, &page); err != nil || len(page.Manifest) > 2 {
			t.Fatalf("page %s: %v", a.body, err)
		}
		for digest, m := range page.Manifest {
			seen[digest] = len(m.Tag) > 0
		}
		next = nextPage(a.Header.Get("Link"))
	}
	want := map[string]bool{index.Digest: true, index.Children[0].Digest: false, index.Children[1].Digest: false}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("paged manifests, tagged or not (-want +got):\n%s", diff)
	}
}
