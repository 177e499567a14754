package wire

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// UploadPath reports whether a path may be that of an upload session.
//
// Below /v2/ it is NAME/blobs/uploads/ID; ghcr.io writes "upload". Other paths must have
// an element that contains "upload", such as Google's
// /artifacts-uploads/namespaces/P/repositories/R/uploads/ID.
func UploadPath(path string) bool {
	parts, ok := elements(path)
	if !ok || APIPath(path) {
		return false
	}
	if len(parts) > 0 && parts[0] == "v2" {
		for i := 2; i+1 < len(parts); i++ { // after a name
			if parts[i] == "blobs" && (parts[i+1] == "uploads" || parts[i+1] == "upload") {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(p, "upload") })
}

// APIPath reports whether a path is of content or lists.
//
// It is true for paths with "." or ".." too.
func APIPath(path string) bool {
	parts, ok := elements(path)
	if !ok {
		return true
	}
	n := len(parts)
	if n < 2 {
		return false
	}
	switch parts[n-2] {
	case "manifests", "referrers", "tags":
		return true
	case "blobs":
		return strings.Contains(parts[n-1], ":")
	}
	return false
}

// elements returns the elements of a path.
//
// ok is false if an element is "." or "..", which servers may resolve to another path.
func elements(path string) (parts []string, ok bool) {
	for p := range strings.SplitSeq(path, "/") {
		switch p {
		case "":
		case ".", "..":
			return nil, false
		default:
			parts = append(parts, p)
		}
	}
	return parts, true
}

// SameHost reports whether two URLs have one host and port.
//
// The default ports of HTTP and HTTPS count as the same.
func SameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Hostname(), b.Hostname()) && ownPort(a) == ownPort(b)
}

// ownPort returns the port of a URL, or "" if it is the default of its scheme.
func ownPort(u *url.URL) string {
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return ""
	}
	return u.Port()
}

// redirectsWrite reports whether a redirect changes what is written.
//
// The upload of a blob may be redirected to the storage of a cloud.
func redirectsWrite(req, first *http.Request) bool {
	if first.Method == http.MethodGet || first.Method == http.MethodHead {
		return false
	}
	if req.Method != first.Method {
		return true // the response to a read would not confirm the write
	}
	upload := UploadPath(first.URL.Path)
	switch {
	case SameHost(req.URL, first.URL):
		return req.URL.Path != first.URL.Path && !(upload && UploadPath(req.URL.Path))
	case upload && first.Method == http.MethodPut:
		return APIPath(req.URL.Path)
	}
	return true
}
