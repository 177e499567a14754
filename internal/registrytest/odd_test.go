package registrytest

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOddReads holds what reads are answered under each behavior.
func TestOddReads(t *testing.T) {
	t.Parallel()
	image := Image(1, 1)
	type request struct {
		method, path string
		status       int
		header       string // name
		value        string
		body         string // a part of the body
	}
	byDigest := "/v2/r/manifests/" + image.Digest
	for name, c := range map[string]struct {
		option   Option
		fault    Fault
		when     []Match
		requests []request
	}{
		"HEAD 404, GET 200": {fault: Refuse(404, "MANIFEST_UNKNOWN", ""), when: []Match{Is(ManifestHead), ByTag()}, requests: []request{
			{"HEAD", "/v2/r/manifests/1", 404, "", "", ""},
			{"GET", "/v2/r/manifests/1", 200, "", "", ""},
			{"GET", "/v2/r/tags/list", 200, "", "", `"1"`},
			{"HEAD", byDigest, 200, "Docker-Content-Digest", image.Digest, ""},
		}},
		"no content type":      {fault: ContentType(""), requests: []request{{"HEAD", byDigest, 200, "Content-Type", "", ""}, {"GET", "/v2/r/manifests/9", 404, "", "", "MANIFEST_UNKNOWN"}}},
		"another content type": {fault: ContentType("text/plain"), requests: []request{{"GET", byDigest, 200, "Content-Type", "text/plain", "layers"}}},
		"a login page": {fault: LoginPage(), requests: []request{
			{"GET", byDigest, 200, "Content-Type", "text/html; charset=utf-8", "<form"}, {"HEAD", byDigest, 200, "Docker-Content-Digest", "", ""},
		}},
		"a status for what is absent": {option: AbsentStatus(403), requests: []request{
			{"GET", "/v2/none/tags/list", 403, "", "", "DENIED"}, {"HEAD", "/v2/none/manifests/1", 403, "", "", ""},
			{"GET", "/v2/r/tags/list", 200, "", "", `"1"`}, {"HEAD", "/v2/r/manifests/9", 404, "", "", ""}, {"GET", "/v2/", 200, "", "", ""},
		}},
		"hidden tags": {fault: HideTags("1", "9"), requests: []request{
			{"GET", "/v2/r/tags/list", 200, "", "", `"tags":["2"]`}, {"HEAD", "/v2/r/manifests/1", 200, "", "", ""}, {"GET", "/v2/none/tags/list", 404, "", "", "NAME_UNKNOWN"},
		}},
		"dripping": {fault: Trickle(7, time.Microsecond), requests: []request{{"GET", byDigest, 200, "", "", string(image.Raw)}}},
		"claimed blobs": {fault: ClaimBlobs(image), requests: []request{
			{"HEAD", "/v2/none/blobs/" + image.Blobs[0].Digest, 200, "Docker-Content-Digest", image.Blobs[0].Digest, ""},
			{"GET", "/v2/none/blobs/" + image.Blobs[0].Digest, 404, "", "", ""},
			{"HEAD", "/v2/r/blobs/" + wrong, 404, "", "", ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []Option{StrictTagList404()}
			if c.option != nil {
				opts = append(opts, c.option)
			}
			s := New(t, opts...)
			s.Push(t, "r", image, "1", "2")
			if c.fault != nil {
				s.Fault(c.fault, c.when...)
			}
			for _, r := range c.requests {
				a := ask(t, s, r.method, r.path, "", "Accept", OCIManifest).want(t, r.status)
				if got := a.Header.Get(r.header); r.header != "" && got != r.value {
					t.Errorf("%s %s: %s is %q, want %q", r.method, r.path, r.header, got, r.value)
				}
				if !strings.Contains(string(a.body), r.body) {
					t.Errorf("%s %s: body %q, want %q in it", r.method, r.path, a.body, r.body)
				}
			}
		})
	}
}

const wrong = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// TestOddWrites holds what the registry stores under each behavior, and what it answers.
func TestOddWrites(t *testing.T) {
	t.Parallel()
	o := Image(1, 1)
	for name, c := range map[string]struct {
		fault  Fault
		ref    string
		status int
		stored bool
	}{
		"an error after":              {ErrorAfter(502), "2", 502, true},
		"lost by digest":              {LoseManifests(), o.Digest, 201, false},
		"kept by tag":                 {LoseManifests(), "2", 201, true},
		"kept by digest with a tag":   {LoseManifests(), o.Digest + "?tag=2", 201, true},
		"another digest in answers":   {WrongDigest(wrong), "2", 201, true},
		"an error instead of a write": {Status(503, nil, ""), "2", 503, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(t)
			for _, b := range o.Blobs {
				s.PushBlob(t, "r", b)
			}
			s.Fault(c.fault, Is(ManifestPut))
			ask(t, s, "PUT", "/v2/r/manifests/"+c.ref, string(o.Raw), "Content-Type", o.MediaType).want(t, c.status)
			if _, _, ok := s.Manifest(t, "r", o.Digest); ok != c.stored {
				t.Errorf("stored: %v, want %v", ok, c.stored)
			}
		})
	}
}

func TestOddMounts(t *testing.T) {
	t.Parallel()
	o := Image(1, 1)
	loose := NewBlob("text/plain", []byte("no manifest names it"))
	for name, c := range map[string]struct {
		opts   []Option
		fault  Fault
		blob   string
		status int
		there  bool
	}{
		"as they should be":           {nil, nil, loose.Digest, 201, true},
		"false":                       {nil, FalseMounts(), loose.Digest, 201, false},
		"of what no manifest names":   {[]Option{CommittedMounts()}, nil, loose.Digest, 202, false},
		"of what a manifest names":    {[]Option{CommittedMounts()}, nil, o.Blobs[1].Digest, 201, true},
		"of what is named, but false": {[]Option{CommittedMounts()}, FalseMounts(), o.Blobs[1].Digest, 201, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(t, c.opts...)
			s.Push(t, "from", o, "1")
			s.PushBlob(t, "from", loose)
			if c.fault != nil {
				s.Fault(c.fault)
			}
			ask(t, s, "POST", "/v2/to/blobs/uploads/?from=from&mount="+c.blob, "").want(t, c.status)
			if got := s.HasBlob(t, "to", c.blob); got != c.there {
				t.Errorf("mounted: %v, want %v", got, c.there)
			}
		})
	}
}

func TestDamageBlob(t *testing.T) {
	t.Parallel()
	b := NewBlob("text/plain", []byte("content"))
	for name, lasting := range map[string]bool{"until it is uploaded": false, "for good": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(t)
			s.PushBlob(t, "r", b)
			s.PushBlob(t, "whole", b)
			s.DamageBlob("r", b.Digest, []byte("con"), lasting)
			url := "/v2/r/blobs/" + b.Digest
			if a := ask(t, s, "HEAD", url, "").want(t, 200); a.ContentLength != 3 {
				t.Errorf("length %d, want 3", a.ContentLength)
			}
			if a := ask(t, s, "GET", url, "", "Range", "bytes=1-").want(t, 206); string(a.body) != "on" {
				t.Errorf("body %q, want %q", a.body, "on")
			}
			ask(t, s, "GET", "/v2/other/blobs/"+b.Digest, "").want(t, 404)
			if raw, ok := s.Blob(t, "whole", b.Digest); !ok || !bytes.Equal(raw, b.Raw) {
				t.Errorf("the other repository holds %q, want %q", raw, b.Raw)
			}
			location := ask(t, s, "POST", "/v2/r/blobs/uploads/", "").want(t, 202).Header.Get("Location")
			ask(t, s, "PUT", location+"&digest="+b.Digest, string(b.Raw)).want(t, 201)
			want := map[bool]string{false: "content", true: "con"}[lasting]
			if raw, _ := s.Blob(t, "r", b.Digest); string(raw) != want {
				t.Errorf("after an upload: %q, want %q", raw, want)
			}
		})
	}
}

func TestUploadsElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  Fault
		prefix string
	}{
		"another host": {MoveUploads("http://elsewhere.example"), "http://elsewhere.example/v2/r/blobs/uploads/"},
		"a manifest":   {UploadsOnManifest("1"), "/v2/r/manifests/1?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(t)
			s.Fault(c.fault)
			if got := ask(t, s, "POST", "/v2/r/blobs/uploads/", "").want(t, 202).Header.Get("Location"); !strings.HasPrefix(got, c.prefix) {
				t.Errorf("location %s, want %s", got, c.prefix)
			}
		})
	}
}

func TestShadow(t *testing.T) {
	t.Parallel()
	o := Shadow(Image(1, 1), "Layers")
	if n := bytes.Count(bytes.ToLower(o.Raw), []byte(`"layers"`)); n != 2 {
		t.Errorf("%d keys, want 2: %s", n, o.Raw)
	}
	s := New(t)
	s.Push(t, "r", o, "1")
	if got, want := s.Tags(t, "r")["1"], o.Digest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	s := New(t)
	o, other := Image(1, 0), Image(2, 0)
	s.Push(t, "r", other, "1")
	s.PushBlob(t, "r", o.Blobs[0])
	before := len(s.Changes())
	s.Fault(ErrorAfter(http.StatusBadGateway), Is(ManifestPut), First(1))
	ask(t, s, "PUT", "/v2/r/manifests/1", string(o.Raw), "Content-Type", o.MediaType).want(t, 502)
	ask(t, s, "PUT", "/v2/r/manifests/"+o.Digest, string(o.Raw), "Content-Type", o.MediaType).want(t, 201)
	ask(t, s, "POST", "/v2/s/blobs/uploads/?from=r&mount="+o.Blobs[0].Digest, "").want(t, 201)
	ask(t, s, "DELETE", "/v2/r/manifests/1", "").want(t, 202)
	s.Push(t, "r", other, "1")
	want := []Change{
		{Kind: ManifestPut, Repo: "r", Ref: "1", Digest: o.Digest, Old: other.Digest},
		{Kind: ManifestPut, Repo: "r", Ref: o.Digest, Digest: o.Digest},
		{Kind: Mount, Repo: "s", Ref: o.Blobs[0].Digest, Digest: o.Blobs[0].Digest},
		{Kind: Delete, Repo: "r", Ref: "1"},
		{Kind: ManifestPut, Repo: "r", Ref: "1", Digest: other.Digest, Direct: true},
	}
	if diff := cmp.Diff(want, s.Changes()[before:]); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
