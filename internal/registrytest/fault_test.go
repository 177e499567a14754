package registrytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
)

// bothProtocols runs f over HTTP/1.1 and HTTP/2, since clients fail differently.
func bothProtocols(t *testing.T, f func(t *testing.T, opts ...Option)) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { f(t) })
	t.Run("HTTP/2", func(t *testing.T) { f(t, HTTP2()) })
}

// withImage is a server that holds an image as r:1.
func withImage(t *testing.T, opts ...Option) (*Server, Object) {
	t.Helper()
	s := New(t, opts...)
	o := Image(1, 1, LayerSize(100_000))
	s.Push(t, "r", o, "1")
	return s, o
}

func layerURL(o Object) string { return "/v2/r/blobs/" + o.Blobs[1].Digest }

func TestMatches(t *testing.T) {
	for name, c := range map[string]struct {
		when []Match
		want string // which of six pings are hit
	}{
		"none":            {nil, "xxxxxx"},
		"kind":            {[]Match{Is(Ping, Tags)}, "xxxxxx"},
		"other kind":      {[]Match{Is(Tags)}, "......"},
		"not":             {[]Match{Not(Is(Tags))}, "xxxxxx"},
		"nth":             {[]Match{Nth(2)}, ".x...."},
		"first":           {[]Match{First(2)}, "xx...."},
		"after":           {[]Match{After(4)}, "....xx"},
		"every":           {[]Match{Every(2)}, ".x.x.x"},
		"first each":      {[]Match{FirstEach(1)}, "x....."},
		"counted in turn": {[]Match{Every(2), First(2)}, ".x.x.."},
		"never":           {[]Match{Chance(0, 1)}, "......"},
		"always":          {[]Match{Chance(1, 1)}, "xxxxxx"},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t)
			i := s.Fault(Status(418, nil, ""), c.when...)
			var got strings.Builder
			for range 6 {
				mark := map[int]string{200: ".", 418: "x"}[ask(t, s, "GET", "/v2/", "").StatusCode]
				got.WriteString(mark)
			}
			if got.String() != c.want || i.Hits() != strings.Count(c.want, "x") {
				t.Errorf("hit %s (%d), want %s", got.String(), i.Hits(), c.want)
			}
		})
	}
}

func TestMatchByRepositoryAndReference(t *testing.T) {
	s, _ := withImage(t)
	s.Push(t, "q", Image(1, 1), "1", "2")
	s.Fault(Status(418, nil, ""), Repo("q"), Ref("2"))
	ask(t, s, "GET", "/v2/q/manifests/2", "").want(t, 418)
	ask(t, s, "GET", "/v2/q/manifests/1", "").want(t, 200)
	ask(t, s, "GET", "/v2/r/manifests/1", "").want(t, 200)
}

func TestFirstEachCountsThings(t *testing.T) {
	s := New(t)
	s.Fault(Status(503, nil, ""), FirstEach(1))
	for range 2 {
		for _, path := range []string{"/v2/", "/v2/a/manifests/1", "/v2/a/manifests/2", "/v2/b/manifests/1"} {
			ask(t, s, "GET", path, "")
		}
		// Sessions differ from attempt to attempt, the repository does not.
		ask(t, s, "PATCH", fmt.Sprintf("/v2/a/blobs/uploads/%d", s.Count()), "")
	}
	var got []int
	for _, r := range s.Requests() {
		got = append(got, r.Status)
	}
	if want := []int{503, 503, 503, 503, 503, 200, 404, 404, 404, 400}; !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
}

func TestFirstAddedFaultIsOutermost(t *testing.T) {
	s := New(t)
	outer := s.Fault(Status(503, nil, ""), Nth(1))
	inner := s.Fault(Status(418, nil, ""), First(1))
	ask(t, s, "GET", "/v2/", "").want(t, 503)
	ask(t, s, "GET", "/v2/", "").want(t, 418)
	ask(t, s, "GET", "/v2/", "").want(t, 200)
	if outer.Hits() != 1 || inner.Hits() != 1 {
		t.Errorf("got %d and %d hits, want 1 and 1", outer.Hits(), inner.Hits())
	}
	third := s.Fault(Status(418, nil, ""))
	ask(t, s, "GET", "/v2/", "").want(t, 418)
	third.Remove()
	ask(t, s, "GET", "/v2/", "").want(t, 200)
	s.Fault(Hang())
	s.ClearFaults()
	ask(t, s, "GET", "/v2/", "").want(t, 200)
}

func TestRandomFaultsFollowTheirSeed(t *testing.T) {
	run := func(seed uint64) (statuses []int) {
		s := New(t)
		s.Fault(ServerErrors(seed), Chance(0.5, seed))
		for range 64 {
			statuses = append(statuses, ask(t, s, "GET", "/v2/", "").StatusCode)
		}
		return statuses
	}
	first := run(1)
	if !slices.Equal(first, run(1)) {
		t.Errorf("got two sequences of one seed, want twice %v", first)
	}
	if slices.Equal(first, run(2)) {
		t.Errorf("got twice %v of two seeds, want two sequences", first)
	}
	for _, status := range []int{200, 500, 502, 503, 504} {
		if !slices.Contains(first, status) {
			t.Errorf("got statuses %v, want some %d", first, status)
		}
	}
}

func TestAnswers(t *testing.T) {
	s, _ := withImage(t)
	s.Fault(Status(429, Header("retry-after", "7"), "slow down"), Is(Ping))
	s.Fault(Refuse(403, "DENIED", "no"), Is(Tags))
	s.Fault(Answer(func(r *http.Request) *Response {
		if r.Method == http.MethodHead {
			return nil
		}
		return &Response{Body: "made up"}
	}), Is(ManifestGet, ManifestHead))
	if a := ask(t, s, "GET", "/v2/", "").want(t, 429); a.Header.Get("Retry-After") != "7" || string(a.body) != "slow down" {
		t.Errorf("got header %v and body %q, want Retry-After 7 and %q", a.Header, a.body, "slow down")
	}
	if a := ask(t, s, "GET", "/v2/r/tags/list", "").want(t, 403); a.code(t) != "DENIED" {
		t.Errorf("got %s, want the code DENIED", a.body)
	}
	if a := ask(t, s, "GET", "/v2/r/manifests/1", "").want(t, 200); string(a.body) != "made up" {
		t.Errorf("got %q, want %q", a.body, "made up")
	}
	if a := ask(t, s, "HEAD", "/v2/r/manifests/1", "").want(t, 200); a.Header.Get("Docker-Content-Digest") == "" {
		t.Errorf("got header %v of HEAD, want a Docker-Content-Digest", a.Header)
	}
}

func TestResets(t *testing.T) {
	bothProtocols(t, func(t *testing.T, opts ...Option) {
		s, o := withImage(t, opts...)
		put := func(tag string) error {
			return ask(t, s, "PUT", "/v2/r/manifests/"+tag, string(o.Raw), "Content-Type", o.MediaType).err
		}
		s.Fault(ResetBefore(), Ref("before"))
		s.Fault(ResetAfter(), Ref("after"))
		if put("before") == nil || put("after") == nil {
			t.Error("got an answer, want a reset")
		}
		if tags := s.Tags(t, "r"); tags["before"] != "" || tags["after"] != o.Digest {
			t.Errorf("got tags %v, want only after=%s", tags, o.Digest)
		}
		for _, r := range s.Requests() {
			if !r.Aborted || r.Panic != "" || r.Status != 0 {
				t.Errorf("recorded %+v, want aborted without panic and status", r)
			}
		}
	})
}

func TestGoAwayEndsTheConnection(t *testing.T) {
	bothProtocols(t, func(t *testing.T, opts ...Option) {
		s := New(t, opts...)
		s.Fault(GoAway(), Nth(2))
		var reused []bool
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = append(reused, i.Reused) }}
		for range 3 {
			req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", s.URL+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if want := []bool{false, true, false}; !slices.Equal(reused, want) {
			t.Errorf("connections reused %v, want %v", reused, want)
		}
	})
}

func TestTruncate(t *testing.T) {
	bothProtocols(t, func(t *testing.T, opts ...Option) {
		s, o := withImage(t, opts...)
		layer := o.Blobs[1].Raw
		s.Fault(Truncate(70_000), Is(BlobGet), First(1))
		a := ask(t, s, "GET", layerURL(o), "")
		if a.err == nil || !bytes.Equal(a.body, layer[:70_000]) || a.ContentLength != int64(len(layer)) {
			t.Errorf("got error %v, %d bytes and Content-Length %d, want an error, the first 70000 bytes and %d", a.err, len(a.body), a.ContentLength, len(layer))
		}
		if r := s.Requests()[0]; r.Out != 70_000 || !r.Aborted {
			t.Errorf("recorded %+v, want 70000 bytes out, aborted", r)
		}
		// The rest can be had by Range, and a body that is short enough is left alone.
		a = ask(t, s, "GET", layerURL(o), "", "Range", "bytes=70000-").want(t, 206)
		if !bytes.Equal(a.body, layer[70_000:]) {
			t.Error("the rest differs")
		}
		s.Fault(Truncate(1<<20), Is(BlobGet))
		if a := ask(t, s, "GET", layerURL(o), "").want(t, 200); !bytes.Equal(a.body, layer) {
			t.Error("body differs")
		}
	})
}

func TestCorruptFlipsOneBit(t *testing.T) {
	s, o := withImage(t)
	layer := o.Blobs[1].Raw
	i := s.Fault(Corrupt(60_000), Is(BlobGet))
	a := ask(t, s, "GET", layerURL(o), "").want(t, 200)
	want := bytes.Clone(layer)
	want[60_000] ^= 1
	if !bytes.Equal(a.body, want) || a.Header.Get("Docker-Content-Digest") != o.Blobs[1].Digest {
		t.Errorf("got %d bytes with digest %q, want the layer with one wrong bit and %s", len(a.body), a.Header.Get("Docker-Content-Digest"), o.Blobs[1].Digest)
	}
	i.Remove()
	a = ask(t, s, "GET", layerURL(o), "").want(t, 200)
	if fmt.Sprintf("sha256:%x", sha256.Sum256(a.body)) != o.Blobs[1].Digest {
		t.Errorf("got sha256:%x of the registry's own copy, want %s", sha256.Sum256(a.body), o.Blobs[1].Digest)
	}
}

func TestHangAndStall(t *testing.T) {
	bothProtocols(t, func(t *testing.T, opts ...Option) {
		s, o := withImage(t, opts...)
		s.Fault(Hang(), Is(ManifestHead, UploadPost))
		s.Fault(Stall(10), Is(BlobGet))
		for _, c := range []struct {
			kind               Kind
			method, path, body string
		}{
			{ManifestHead, "HEAD", "/v2/r/manifests/1", ""},
			{UploadPost, "POST", "/v2/r/blobs/uploads/", strings.Repeat("x", 100_000)},
			{BlobGet, "GET", layerURL(o), ""},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, c.method, s.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			failed := make(chan error, 1)
			go func() {
				resp, err := s.Client().Do(req)
				if err == nil {
					if _, err = io.CopyN(io.Discard, resp.Body, 10); err == nil {
						cancel() // ten bytes came, no more will
						_, err = io.Copy(io.Discard, resp.Body)
					}
					resp.Body.Close()
				}
				failed <- err
			}()
			s.Await(t, 1, c.kind)
			if c.kind != BlobGet {
				cancel()
			}
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got error %v, want %v", c.kind, err, context.Canceled)
			}
			cancel()
		}
	})
}

// Chance decides by the thing that is asked for, so the order of arrival does not matter.
func TestChanceIsRepeatable(t *testing.T) {
	t.Parallel()
	const n = 400
	draw := func(m Match, i int) bool {
		return m(httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v2/a/blobs/%d", i), nil))
	}
	one, two := Chance(0.5, 7), Chance(0.5, 7)
	var first [n]bool
	hits, changed := 0, 0
	for i := range n {
		first[i] = draw(one, i)
		if first[i] {
			hits++
		}
		if draw(one, i) != first[i] {
			changed++
		}
	}
	for i := n - 1; i >= 0; i-- {
		if got := draw(two, i); got != first[i] {
			t.Errorf("request %d: hit %t in another order, want %t", i, got, first[i])
		}
	}
	if hits < n/3 || hits > n*2/3 || changed < n/3 || changed > n*2/3 {
		t.Errorf("%d of %d requests hit, %d with another outcome when repeated; want about half", hits, n, changed)
	}
}

func TestOver(t *testing.T) {
	t.Parallel()
	s := New(t)
	limited := s.Fault(Status(http.StatusTooManyRequests, nil, ""), Over(1e-9, 3))
	for i, want := range []int{200, 200, 200, 429, 429} {
		if got := ask(t, s, "GET", "/v2/", "").StatusCode; got != want {
			t.Errorf("request %d: status %d, want %d", i, got, want)
		}
	}
	if got := limited.Hits(); got != 2 {
		t.Errorf("%d requests over the limit, want 2", got)
	}
}
