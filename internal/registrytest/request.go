package registrytest

import (
	"fmt"
	"net/http"
	"strings"
)

// Kind is what a request asks of a registry.
type Kind string

// The kinds of request.
const (
	Ping         Kind = "ping"
	Token        Kind = "token"
	Tags         Kind = "tags"
	Catalog      Kind = "catalog"
	ManifestGet  Kind = "manifest-get"
	ManifestHead Kind = "manifest-head"
	ManifestPut  Kind = "manifest-put"
	BlobGet      Kind = "blob-get"
	BlobHead     Kind = "blob-head"
	Mount        Kind = "mount"
	UploadPost   Kind = "upload-post"
	UploadPatch  Kind = "upload-patch"
	UploadPut    Kind = "upload-put"
	UploadDelete Kind = "upload-delete"
	Referrers    Kind = "referrers"
	Delete       Kind = "delete"
	Other        Kind = "other"
)

// Request is the record of one request and what it was answered.
type Request struct {
	Kind    Kind
	Method  string
	Path    string
	Query   string
	Repo    string      // empty where the path names none
	Ref     string      // tag, digest or upload session
	Proto   string      // HTTP/1.1 or HTTP/2.0
	Auth    string      // scheme of the Authorization header, empty without one
	Header  http.Header // Accept, Content-Range, Content-Type, Range and User-Agent
	Status  int         // 0 while unanswered
	In, Out int64       // body bytes read from and written to the client
	Aborted bool        // the connection or stream was broken instead of finishing
	Panic   string      // what a handler panicked with, if it was no wanted abort
}

// String returns the request on one line, for failure messages.
func (r Request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-13s %s %s", r.Kind, r.Method, r.Path)
	if r.Query != "" {
		fmt.Fprintf(&b, "?%s", r.Query)
	}
	fmt.Fprintf(&b, " %d in=%d out=%d", r.Status, r.In, r.Out)
	if r.Auth != "" {
		fmt.Fprintf(&b, " auth=%s", r.Auth)
	}
	if r.Aborted {
		b.WriteString(" aborted")
	}
	if r.Panic != "" {
		fmt.Fprintf(&b, " panic: %s", r.Panic)
	}
	return b.String()
}

func newRequest(r *http.Request) *Request {
	kind, repo, ref := classify(r)
	auth, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	kept := http.Header{}
	for _, name := range []string{"Accept", "Content-Range", "Content-Type", "Range", "User-Agent"} {
		if v := r.Header.Values(name); len(v) > 0 {
			kept[name] = v
		}
	}
	return &Request{
		Kind: kind, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Repo: repo, Ref: ref, Proto: r.Proto, Auth: auth, Header: kept,
	}
}

// classify returns what r asks for, and of which repository and reference.
func classify(r *http.Request) (kind Kind, repo, ref string) {
	switch r.URL.Path {
	case "/token":
		return Token, "", ""
	case "/v2", "/v2/":
		return Ping, "", ""
	case "/v2/_catalog":
		return Catalog, "", ""
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		return Other, "", ""
	}
	before, last := cutLast(strings.TrimSuffix(rest, "/"))
	before, second := cutLast(before)
	switch beforeUploads, third := cutLast(before); {
	case third == "blobs" && second == "uploads":
		return sessionKind(r.Method), beforeUploads, last
	case second == "blobs" && last == "uploads":
		return openKind(r), before, ""
	case second == "blobs":
		return contentKind(r.Method, BlobGet, BlobHead, Other), before, last
	case second == "manifests":
		return contentKind(r.Method, ManifestGet, ManifestHead, ManifestPut), before, last
	case second == "referrers":
		return Referrers, before, last
	case second == "tags" && last == "list":
		return Tags, before, ""
	}
	return Other, "", ""
}

// cutLast returns the last element of a path, and what is before it.
func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

func sessionKind(method string) Kind {
	switch method {
	case http.MethodPatch:
		return UploadPatch
	case http.MethodPut:
		return UploadPut
	case http.MethodDelete:
		return UploadDelete
	}
	return Other
}

func openKind(r *http.Request) Kind {
	switch {
	case r.Method != http.MethodPost:
		return Other
	case strings.HasPrefix(r.URL.RawQuery, "mount="), strings.Contains(r.URL.RawQuery, "&mount="):
		return Mount
	}
	return UploadPost
}

func contentKind(method string, get, head, put Kind) Kind {
	switch method {
	case http.MethodGet:
		return get
	case http.MethodHead:
		return head
	case http.MethodPut:
		return put
	case http.MethodDelete:
		return Delete
	}
	return Other
}
