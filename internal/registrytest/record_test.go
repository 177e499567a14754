package registrytest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassify(t *testing.T) {
	const d = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		method, target string
		kind           Kind
		repo, ref      string
	}{
		{"GET", "/v2/", Ping, "", ""},
		{"GET", "/v2", Ping, "", ""},
		{"GET", "/token?scope=x", Token, "", ""},
		{"POST", "/token", Token, "", ""},
		{"GET", "/v2/_catalog?n=5", Catalog, "", ""},
		{"GET", "/v2/a/b/tags/list", Tags, "a/b", ""},
		{"GET", "/v2/tags/list", Tags, "", ""},
		{"GET", "/v2/a/manifests/1.0", ManifestGet, "a", "1.0"},
		{"HEAD", "/v2/a/b/c/manifests/" + d, ManifestHead, "a/b/c", d},
		{"PUT", "/v2/a/manifests/1.0", ManifestPut, "a", "1.0"},
		{"DELETE", "/v2/a/manifests/1.0", Delete, "a", "1.0"},
		{"GET", "/v2/a/blobs/" + d, BlobGet, "a", d},
		{"HEAD", "/v2/a/blobs/" + d, BlobHead, "a", d},
		{"DELETE", "/v2/a/blobs/" + d, Delete, "a", d},
		{"POST", "/v2/a/blobs/uploads/", UploadPost, "a", ""},
		{"POST", "/v2/a/blobs/uploads", UploadPost, "a", ""},
		{"POST", "/v2/a/blobs/uploads/?digest=" + d, UploadPost, "a", ""},
		{"POST", "/v2/a/blobs/uploads/?mount=" + d + "&from=b", Mount, "a", ""},
		{"PATCH", "/v2/a/blobs/uploads/id?state=s", UploadPatch, "a", "id"},
		{"PUT", "/v2/a/blobs/uploads/id?digest=" + d, UploadPut, "a", "id"},
		{"DELETE", "/v2/a/blobs/uploads/id", UploadDelete, "a", "id"},
		{"GET", "/v2/a/blobs/uploads/id", Other, "a", "id"},
		{"GET", "/v2/a/referrers/" + d, Referrers, "a", d},
		{"GET", "/", Other, "", ""},
		{"GET", "/v2/x", Other, "", ""},
		{"OPTIONS", "/v2/a/manifests/1", Other, "a", "1"},
	} {
		r, err := http.NewRequest(c.method, c.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if kind, repo, ref := classify(r); kind != c.kind || repo != c.repo || ref != c.ref {
			t.Errorf("%s %s is (%s, %q, %q), want (%s, %q, %q)", c.method, c.target, kind, repo, ref, c.kind, c.repo, c.ref)
		}
	}
}

func TestRecordTellsWhatHappened(t *testing.T) {
	s := New(t)
	o := Image(1, 1)
	s.Push(t, "r", o, "1")
	ask(t, s, "GET", "/v2/r/manifests/1?x=y", "", "Accept", "*/*", "Authorization", "Basic eDp5", "Range", "bytes=0-9").want(t, 206)
	ask(t, s, "HEAD", "/v2/r/manifests/1", "").want(t, 200)
	ask(t, s, "PUT", "/v2/r/manifests/2", string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	ask(t, s, "GET", "/v2/r/manifests/none", "").want(t, 404)
	got := s.Requests()
	first := got[0]
	if first.Kind != ManifestGet || first.Query != "x=y" || first.Repo != "r" || first.Ref != "1" || first.Auth != "Basic" ||
		first.Header.Get("Range") != "bytes=0-9" || first.Status != 206 || first.Out != 10 || first.In != 0 {
		t.Errorf("ranged GET: got %+v, want r:1 with ?x=y, Basic, Range bytes=0-9, status 206, 10 bytes out and 0 in", first)
	}
	if got[1].Out != 0 || got[1].Status != 200 || got[1].Header.Get("User-Agent") == "" {
		t.Errorf("HEAD: got %+v, want status 200, 0 bytes out and a User-Agent", got[1])
	}
	if got[2].In != int64(len(o.Raw)) || got[2].Header.Get("Content-Type") != o.MediaType {
		t.Errorf("PUT: got %+v, want %d bytes in of type %s", got[2], len(o.Raw), o.MediaType)
	}
	if len(s.Writes()) != 1 || s.Count() != 4 || s.Count(ManifestGet, ManifestPut) != 3 || s.Peak() != 1 {
		t.Errorf("got %d writes, %d requests, %d of manifests, peak %d, want 1, 4, 3, 1", len(s.Writes()), s.Count(), s.Count(ManifestGet, ManifestPut), s.Peak())
	}
	for _, want := range []string{s.Host, "4 requests", "manifest-get 2", "PUT /v2/r/manifests/2 201"} {
		if !strings.Contains(s.Summary(), want) {
			t.Errorf("%q is not in the summary:\n%s", want, s.Summary())
		}
	}
	if strings.Contains(s.Summary(), "eDp5") {
		t.Errorf("got the password eDp5 in the summary, want none\n%s", s.Summary())
	}
	s.Reset()
	if s.Count() != 0 || s.Peak() != 0 {
		t.Errorf("got %d requests and peak %d after a reset, want 0 and 0", s.Count(), s.Peak())
	}
}

func TestHandlerPanicIsRecorded(t *testing.T) {
	s := New(t)
	s.Push(t, "r", Image(1, 1), "1")
	if a := ask(t, s, "GET", "/v2/r/tags/list?n=0", ""); a.err == nil {
		t.Fatalf("got status %d of olareg for n=0, want no answer: %s", a.StatusCode, a.body)
	}
	if r := s.Requests()[0]; !r.Aborted || !strings.Contains(r.Panic, "out of range") {
		t.Errorf("recorded %+v, want aborted with the panic: out of range", r)
	}
}

func TestOpenUploads(t *testing.T) {
	b := NewBlob("text/plain", []byte("content"))
	open := func(t *testing.T, s *Server) string {
		t.Helper()
		a := ask(t, s, "POST", "/v2/r/blobs/uploads/", "").want(t, 202)
		loc := a.Header.Get("Location")
		if !strings.Contains(loc, "?") {
			loc += "?"
		}
		return loc + "&"
	}
	for name, c := range map[string]struct {
		opts []Option
		end  func(t *testing.T, s *Server, loc string)
		want int
	}{
		"nothing": {nil, func(*testing.T, *Server, string) {}, 1},
		"completed": {nil, func(t *testing.T, s *Server, l string) {
			ask(t, s, "PUT", l+"digest="+b.Digest, string(b.Raw)).want(t, 201)
		}, 0},
		"completed, permissive": {[]Option{Permissive()}, func(t *testing.T, s *Server, l string) {
			ask(t, s, "PUT", l+"digest="+b.Digest, string(b.Raw)).want(t, 201)
		}, 0},
		"patched": {nil, func(t *testing.T, s *Server, l string) { ask(t, s, "PATCH", l, "con").want(t, 202) }, 1},
		"deleted": {nil, func(t *testing.T, s *Server, l string) { ask(t, s, "DELETE", l, "").want(t, 204) }, 0},
		"refused": {nil, func(t *testing.T, s *Server, l string) { ask(t, s, "PUT", l+"digest="+b.Digest, "other").want(t, 400) }, 1},
		"refused, then deleted": {nil, func(t *testing.T, s *Server, l string) {
			ask(t, s, "PUT", l+"digest="+b.Digest, "other").want(t, 400)
			ask(t, s, "DELETE", l, "").want(t, 400) // olareg ended it already
		}, 0},
		"completed, answer lost": {nil, func(t *testing.T, s *Server, l string) {
			s.Fault(ResetAfter(), Is(UploadPut))
			if a := ask(t, s, "PUT", l+"digest="+b.Digest, string(b.Raw)); a.err == nil {
				t.Error("got an answer, want a reset")
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t, c.opts...)
			c.end(t, s, open(t, s))
			if got := s.OpenUploads(); got != c.want {
				t.Errorf("open uploads %d, want %d\n%s", got, c.want, s.Summary())
			}
			if c.want > 0 && !strings.Contains(s.Summary(), "open upload /v2/r/") {
				t.Errorf("got a summary without the open upload, want it listed\n%s", s.Summary())
			}
		})
	}
	t.Run("monolithic", func(t *testing.T) {
		s := New(t)
		ask(t, s, "POST", "/v2/r/blobs/uploads/?digest="+b.Digest, string(b.Raw)).want(t, 201)
		if s.OpenUploads() != 0 || s.Count(UploadPost) != 1 {
			t.Errorf("got %d open uploads and %d POSTs, want 0 and 1\n%s", s.OpenUploads(), s.Count(UploadPost), s.Summary())
		}
	})
}

func TestAwaitAndPeak(t *testing.T) {
	s := New(t)
	release := make(chan struct{})
	s.Fault(Hold(release), Is(Ping))
	done := make(chan answer, 3)
	for range 3 {
		go func() { done <- ask(t, s, "GET", "/v2/", "") }()
	}
	s.Await(t, 3, Ping)
	if s.Peak() != 3 || s.Requests()[0].Status != 0 {
		t.Errorf("got peak %d and status %d, want 3 and 0", s.Peak(), s.Requests()[0].Status)
	}
	close(release)
	for range 3 {
		(<-done).want(t, 200)
	}
}

func TestStorageSharesContentOnly(t *testing.T) {
	s := New(t, BasicAuth("u", "p"))
	other := s.Storage(t)
	o := Image(1, 1)
	s.Push(t, "r", o, "1")
	ask(t, s, "GET", "/v2/r/manifests/1", "").want(t, 401)
	ask(t, other, "GET", "/v2/r/manifests/1", "").want(t, 200)
	if s.Host == other.Host || s.Count() != 1 || other.Count() != 1 {
		t.Errorf("got hosts %s and %s with %d and %d requests, want two hosts with 1 each\n%s%s", s.Host, other.Host, s.Count(), other.Count(), s.Summary(), other.Summary())
	}
	if diff := cmp.Diff(s.Tags(t, "r"), other.Tags(t, "r")); diff != "" {
		t.Error(diff)
	}
}

func TestCloseReleasesHangingRequests(t *testing.T) {
	for name, opts := range map[string][]Option{"HTTP/1.1": nil, "HTTP/2": {HTTP2()}} {
		t.Run(name, func(t *testing.T) {
			s := New(t, opts...)
			s.Push(t, "r", Image(1, 1), "1")
			s.Fault(Hang(), Is(UploadPost))
			failed := make(chan error, 1)
			go func() { failed <- ask(t, s, "POST", "/v2/r/blobs/uploads/", "body").err }()
			s.Await(t, 1, UploadPost)
			s.Close()
			if err := <-failed; err == nil {
				t.Error("got an answer of a closed server, want an error")
			}
			if !s.Requests()[0].Aborted || len(s.Tags(t, "r")) != 1 {
				t.Errorf("got aborted %t and tags %v, want true and one tag\n%s", s.Requests()[0].Aborted, s.Tags(t, "r"), s.Summary())
			}
		})
	}
}
