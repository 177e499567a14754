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
	elems := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	// end returns the i-th element from the end, head what stands before the last n.
	end := func(i int) string {
		if i > len(elems) {
			return ""
		}
		return elems[len(elems)-i]
	}
	head := func(n int) string { return strings.Join(elems[:len(elems)-n], "/") }
	switch {
	case end(3) == "blobs" && end(2) == "uploads":
		return sessionKind(r.Method), head(3), end(1)
	case end(2) == "blobs" && end(1) == "uploads":
		return openKind(r), head(2), ""
	case end(2) == "blobs":
		return contentKind(r.Method, BlobGet, BlobHead, Other), head(2), end(1)
	case end(2) == "manifests":
		return contentKind(r.Method, ManifestGet, ManifestHead, ManifestPut), head(2), end(1)
	case end(2) == "referrers":
		return Referrers, head(2), end(1)
	case end(2) == "tags" && end(1) == "list":
		return Tags, head(2), ""
	}
	return Other, "", ""
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
	case r.URL.Query().Has("mount"):
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
