package registrytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
)

// direct asks the registry beneath faults, authentication, views and record.
func (s *Server) direct(method, target string, header http.Header, body []byte) (*http.Response, []byte, error) {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	r = r.WithContext(context.WithValue(r.Context(), directKey{}, true))
	r.Host = s.Host
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	s.store.ServeHTTP(w, r)
	resp := w.Result()
	raw, err := io.ReadAll(resp.Body)
	return resp, raw, err
}

// expect is direct for requests that must be answered with one of these statuses.
func (s *Server) expect(method, target string, header http.Header, body []byte, statuses ...int) (*http.Response, []byte, error) {
	resp, raw, err := s.direct(method, target, header, body)
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(statuses, resp.StatusCode) {
		return resp, raw, nil
	}
	return nil, nil, fmt.Errorf("%s %s: status %d, want %v: %s", method, target, resp.StatusCode, statuses, raw)
}

func manifestPath(repo, ref string) string { return "/v2/" + repo + "/manifests/" + ref }

func blobPath(repo, digest string) string { return "/v2/" + repo + "/blobs/" + digest }

// Push stores o in repo with its blobs and children, under each tag, or by digest
// without one. It is not recorded and meets no fault.
func (s *Server) Push(t TB, repo string, o Object, tags ...string) {
	t.Helper()
	if err := s.push(repo, o, tags); err != nil {
		t.Fatalf("registrytest: pushing %s@%s: %v", repo, o.Digest, err)
	}
}

func (s *Server) push(repo string, o Object, tags []string) error {
	for _, b := range o.Blobs {
		if b.Skip {
			continue
		}
		if err := s.pushBlob(repo, b); err != nil {
			return err
		}
	}
	for _, c := range o.Children {
		if err := s.push(repo, c, nil); err != nil {
			return err
		}
	}
	if len(tags) == 0 {
		return s.put(repo, o.Digest, o)
	}
	for _, tag := range tags {
		if err := s.tag(repo, tag, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) put(repo, ref string, o Object) error {
	header := Header("Content-Type", o.MediaType)
	_, _, err := s.expect(http.MethodPut, manifestPath(repo, ref), header, o.Raw, http.StatusCreated)
	return err
}

// tag puts o under tag. A registry computes the SHA-256 of what is put by tag, so
// an object with another algorithm is put by digest, with the tag in the same request.
func (s *Server) tag(repo, tag string, o Object) error {
	if strings.HasPrefix(o.Digest, "sha256:") {
		return s.put(repo, tag, o)
	}
	return s.put(repo, o.Digest+"?tag="+url.QueryEscape(tag), o)
}

func (s *Server) pushBlob(repo string, b Blob) error {
	if s.hasBlob(repo, b.Digest) {
		return nil
	}
	resp, _, err := s.expect(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil, nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	loc, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	q := loc.Query()
	q.Set("digest", b.Digest)
	target := loc.Path + "?" + q.Encode()
	_, _, err = s.expect(http.MethodPut, target, Header("Content-Type", "application/octet-stream"), b.Raw, http.StatusCreated)
	return err
}

// PushBlob stores one blob in repo.
func (s *Server) PushBlob(t TB, repo string, b Blob) {
	t.Helper()
	if err := s.pushBlob(repo, b); err != nil {
		t.Fatalf("registrytest: pushing %s@%s: %v", repo, b.Digest, err)
	}
}

// Manifest returns the stored bytes and media type of a tag or digest; ok is false if there is none.
func (s *Server) Manifest(t TB, repo, ref string) (raw []byte, mediaType string, ok bool) {
	t.Helper()
	resp, raw, err := s.manifest(repo, ref)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, "", false
	}
	return raw, resp.Header.Get("Content-Type"), true
}

func (s *Server) manifest(repo, ref string) (*http.Response, []byte, error) {
	accept := Header("Accept", strings.Join([]string{OCIManifest, OCIIndex, DockerManifest, DockerList}, ", "))
	return s.expect(http.MethodGet, manifestPath(repo, ref), accept, nil, http.StatusOK, http.StatusNotFound)
}

// Tags returns the digest of every tag in repo.
func (s *Server) Tags(t TB, repo string) map[string]string {
	t.Helper()
	tags := map[string]string{}
	for next := "/v2/" + repo + "/tags/list"; next != ""; {
		resp, raw, err := s.expect(http.MethodGet, next, nil, nil, http.StatusOK, http.StatusNotFound)
		if err != nil {
			t.Fatalf("registrytest: %v", err)
		}
		if resp.StatusCode == http.StatusNotFound {
			return tags
		}
		var list struct{ Tags []string }
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatalf("registrytest: tags of %s: %v", repo, err)
		}
		for _, tag := range list.Tags {
			tags[tag] = s.resolve(t, repo, tag)
		}
		next = nextPage(resp.Header.Get("Link"))
	}
	return tags
}

func (s *Server) resolve(t TB, repo, tag string) string {
	t.Helper()
	resp, raw, err := s.manifest(repo, tag)
	switch {
	case err != nil:
		t.Fatalf("registrytest: %v", err)
	case resp.StatusCode == http.StatusNotFound:
		return "" // a listed tag without a manifest is something to see, not to fail on
	case resp.Header.Get("Docker-Content-Digest") == "":
		return digestOf(raw, false)
	}
	return resp.Header.Get("Docker-Content-Digest")
}

func nextPage(link string) string {
	_, rest, ok := strings.Cut(link, "<")
	target, _, closed := strings.Cut(rest, ">")
	if !ok || !closed {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.RequestURI()
}

// HasBlob reports whether repo holds the blob.
func (s *Server) HasBlob(t TB, repo, digest string) bool {
	t.Helper()
	return s.hasBlob(repo, digest)
}

func (s *Server) hasBlob(repo, digest string) bool {
	resp, _, err := s.direct(http.MethodHead, blobPath(repo, digest), nil, nil)
	return err == nil && resp.StatusCode == http.StatusOK
}

// Blob returns the stored bytes of a blob; ok is false if repo does not hold it.
func (s *Server) Blob(t TB, repo, digest string) (raw []byte, ok bool) {
	t.Helper()
	resp, raw, err := s.direct(http.MethodGet, blobPath(repo, digest), nil, nil)
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	return raw, resp.StatusCode == http.StatusOK
}
