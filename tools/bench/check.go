package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
)

// filler puts objects into a host's registry, past all that is in front of it.
type filler struct {
	h     *host
	there map[string]struct{} // blobs, as repository@digest: each is put once
}

func (f filler) object(repo, ref string, o *object) error {
	for _, b := range o.blobs {
		key := repo + "@" + b.Digest
		if _, ok := f.there[key]; ok {
			continue
		}
		f.there[key] = struct{}{}
		if err := f.put(http.MethodPost, repo+"/blobs/uploads/?digest="+b.Digest, b.raw, b.MediaType); err != nil {
			return err
		}
	}
	for _, c := range o.children {
		if err := f.object(repo, c.Digest, c); err != nil {
			return err
		}
	}
	return f.put(http.MethodPut, repo+"/manifests/"+ref, o.raw, o.MediaType)
}

func (f filler) put(method, path string, body []byte, mediaType string) error {
	if a := f.h.ask(method, path, body, mediaType); a.Code != http.StatusCreated {
		return fmt.Errorf("%s %s: %d %s", method, path, a.Code, a.Body)
	}
	return nil
}

// ask sends a request to the registry of a host, past all that is in front of it.
func (h *host) ask(method, path string, body []byte, mediaType string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/v2/"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Accept", typeImage+", "+typeIndex)
	a := httptest.NewRecorder()
	h.registry.ServeHTTP(a, r)
	return a
}

// complete says what a repository lacks of a tag, or nil: the manifest, its blobs, its children.
func (h *host) complete(repo, ref string, o *object) error {
	lacks := []error{h.holds(repo+"/manifests/"+ref, o.raw)}
	for _, b := range o.blobs {
		lacks = append(lacks, h.holds(repo+"/blobs/"+b.Digest, b.raw))
	}
	for _, c := range o.children {
		lacks = append(lacks, h.complete(repo, c.Digest, c))
	}
	return errors.Join(lacks...)
}

func (h *host) holds(path string, raw []byte) error {
	if a := h.ask(http.MethodGet, path, nil, ""); a.Code != http.StatusOK || !bytes.Equal(a.Body.Bytes(), raw) {
		return fmt.Errorf("%s is not as wanted: %d", path, a.Code)
	}
	return nil
}
