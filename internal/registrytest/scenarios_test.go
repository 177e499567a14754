package registrytest

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHoldAndDelayPassTheBodyOn(t *testing.T) {
	s, o := withImage(t)
	release := make(chan struct{})
	s.Fault(Hold(release), Ref("2"))
	s.Fault(Delay(time.Millisecond), Ref("3"))
	done := make(chan answer, 1)
	go func() {
		done <- ask(t, s, "PUT", "/v2/r/manifests/2", string(o.Raw), "Content-Type", o.MediaType)
	}()
	s.Await(t, 1, ManifestPut)
	if s.Tags(t, "r")["2"] != "" {
		t.Errorf("got tag 2 at %s, want it held", s.Tags(t, "r")["2"])
	}
	close(release)
	(<-done).want(t, 201)
	ask(t, s, "PUT", "/v2/r/manifests/3", string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	if tags := s.Tags(t, "r"); tags["2"] != o.Digest || tags["3"] != o.Digest {
		t.Errorf("got tags %v, want 2 and 3 at %s", tags, o.Digest)
	}
}

func TestWrongDigest(t *testing.T) {
	s, _ := withImage(t)
	s.Fault(WrongDigest("sha256:bad"), Nth(1))
	s.Fault(WrongDigest(""), Nth(1))
	for _, want := range []string{"sha256:bad", ""} {
		a := ask(t, s, "HEAD", "/v2/r/manifests/1", "").want(t, 200)
		if got, ok := a.Header["Docker-Content-Digest"]; ok != (want != "") || (ok && got[0] != want) {
			t.Errorf("digest %v, want %q", got, want)
		}
		s.ClearFaults()
		s.Fault(WrongDigest(""))
	}
}

func TestEditRequest(t *testing.T) {
	s, o := withImage(t)
	s.Fault(EditRequest(func(r *http.Request) { r.Header.Del("Range") }), Is(BlobGet))
	ask(t, s, "GET", layerURL(o), "", "Range", "bytes=5-").want(t, 200)
	if got := s.Requests()[0].Header.Get("Range"); got != "bytes=5-" {
		t.Errorf("recorded Range %q, want what the client sent", got)
	}
}

func TestRedirectShowsWhatArrives(t *testing.T) {
	s, o := withImage(t, BasicAuth("u", "p"))
	storage := s.Storage(t)
	s.Fault(Redirect(storage.URL), Is(BlobGet))
	a := ask(t, s, "GET", layerURL(o)+"?x=1", "", "Authorization", "Basic dTpw").want(t, 200)
	if len(a.body) != len(o.Blobs[1].Raw) {
		t.Errorf("got %d bytes, want %d", len(a.body), len(o.Blobs[1].Raw))
	}
	got := storage.Requests()
	// Go's own client sends the password along to another port of the same address.
	if len(got) != 1 || got[0].Kind != BlobGet || got[0].Query != "x=1" || got[0].Auth != "Basic" {
		t.Errorf("at the storage: got %v, want one GET of the blob with ?x=1 and Basic", got)
	}
	if s.Requests()[0].Status != http.StatusTemporaryRedirect || s.Requests()[0].Out != 0 {
		t.Errorf("at the registry: got %v, want status 307 and 0 bytes out", s.Requests())
	}
}

func TestForgetUpload(t *testing.T) {
	s := New(t)
	s.Fault(ForgetUpload(), Is(UploadPut), Nth(1))
	loc := ask(t, s, "POST", "/v2/r/blobs/uploads/", "").want(t, 202).Header.Get("Location")
	b := NewBlob("text/plain", []byte("content"))
	a := ask(t, s, "PUT", loc+"&digest="+b.Digest, string(b.Raw)).want(t, 404)
	if a.code(t) != "BLOB_UPLOAD_UNKNOWN" || s.OpenUploads() != 0 {
		t.Errorf("got %s and %d open uploads, want BLOB_UPLOAD_UNKNOWN and 0", a.body, s.OpenUploads())
	}
	// The registry has forgotten it too.
	ask(t, s, "PUT", loc+"&digest="+b.Digest, string(b.Raw)).want(t, 400)
}

func TestRefuseMounts(t *testing.T) {
	b := NewBlob("text/plain", []byte("content"))
	for status, code := range map[int]string{
		401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 405: "UNSUPPORTED", 500: "UNKNOWN", 202: "",
	} {
		s := New(t)
		s.PushBlob(t, "from", b)
		s.Fault(RefuseMounts(status))
		a := ask(t, s, "POST", "/v2/to/blobs/uploads/?mount="+b.Digest+"&from=from", "").want(t, status)
		if s.HasBlob(t, "to", b.Digest) {
			t.Errorf("%d: got blob %s mounted, want it refused", status, b.Digest)
		}
		if code != "" {
			if a.code(t) != code {
				t.Errorf("%d: got %s, want code %s", status, a.body, code)
			}
			continue
		}
		if s.OpenUploads() != 1 || s.Count(Mount) != 1 {
			t.Errorf("got %d open uploads and %d mounts, want 1 and 1\n%s", s.OpenUploads(), s.Count(Mount), s.Summary())
		}
		ask(t, s, "PUT", a.Header.Get("Location")+"&digest="+b.Digest, string(b.Raw)).want(t, 201)
		if s.OpenUploads() != 0 || !s.HasBlob(t, "to", b.Digest) {
			t.Errorf("got %d open uploads, blob there %t, want 0 and true\n%s", s.OpenUploads(), s.HasBlob(t, "to", b.Digest), s.Summary())
		}
	}
}

func TestDelayVisibility(t *testing.T) {
	s, o := withImage(t)
	s.Fault(DelayVisibility(2), Repo("r"))
	ask(t, s, "HEAD", "/v2/r/manifests/1", "").want(t, 200) // put before
	ask(t, s, "PUT", "/v2/r/manifests/2", string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	for _, ref := range []string{"2", o.Digest} {
		for _, status := range []int{404, 404, 200, 200} {
			ask(t, s, "HEAD", "/v2/r/manifests/"+ref, "").want(t, status)
		}
	}
	ask(t, s, "PUT", "/v2/r/manifests/"+o.Digest+"?tag=3", string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	ask(t, s, "GET", "/v2/r/manifests/3", "").want(t, 404)
}

func TestMoveTag(t *testing.T) {
	s, o := withImage(t)
	other := Image(2, 1)
	s.Fault(s.MoveTag(t, "r", "1", other), Is(ManifestHead), Nth(2))
	for _, want := range []string{o.Digest, other.Digest, other.Digest} {
		a := ask(t, s, "HEAD", "/v2/r/manifests/1", "").want(t, 200)
		if got := a.Header.Get("Docker-Content-Digest"); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}
	if len(s.Writes()) != 0 {
		t.Errorf("got writes %v, want none: the move is not recorded", s.Writes())
	}
}

func TestLinkLoopAndEndlessPages(t *testing.T) {
	s, _ := withImage(t)
	loop := s.Fault(LinkLoop(), Is(Tags))
	const list = "/v2/r/tags/list?n=2"
	if a := ask(t, s, "GET", list, "").want(t, 200); nextPage(a.Header.Get("Link")) != list {
		t.Errorf("got Link %q, want %s", a.Header.Get("Link"), list)
	}
	loop.Remove()
	for perPage, want := range []string{`"tags":[]`, `"tags":["endless-000000003"]`, `"tags":["endless-000000005","endless-000000006"]`} {
		s.ClearFaults()
		s.Fault(EndlessPages(perPage))
		next := list
		var a answer
		seen := map[string]bool{}
		for range 3 {
			a = ask(t, s, "GET", next, "").want(t, 200)
			next = nextPage(a.Header.Get("Link"))
			if seen[next] || next == "" {
				t.Errorf("got page %q, want one that was not served before", next)
			}
			seen[next] = true
		}
		if !strings.Contains(string(a.body), want) {
			t.Errorf("third page %s, want %s", a.body, want)
		}
	}
	a := ask(t, s, "GET", "/v2/_catalog", "").want(t, 200)
	if !strings.Contains(string(a.body), `"repositories":["endless-`) {
		t.Errorf("got %s, want repositories endless-…", a.body)
	}
}
