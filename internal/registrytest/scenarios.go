package registrytest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// ForgetUpload ends the upload session that a PATCH, PUT or GET names and answers
// 404 BLOB_UPLOAD_UNKNOWN. Other requests pass.
func ForgetUpload() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.Contains(r.URL.Path, "/blobs/uploads/") || r.Method == http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		end := clone(r)
		end.Method, end.Body, end.ContentLength = http.MethodDelete, http.NoBody, 0
		end.Header.Del("Content-Length")
		next.ServeHTTP(newDiscard(), end)
		writeError(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
	}
}

// RefuseMounts answers mounts with an error status, or with 202 and an upload
// session as registries do that cannot or will not mount. Other requests pass.
func RefuseMounts(status int) Fault {
	if status == http.StatusAccepted {
		return only(EditRequest(func(r *http.Request) {
			editQuery(r, func(q url.Values) {
				q.Del("mount")
				q.Del("from")
			})
		}), Is(Mount))
	}
	code := map[int]string{
		http.StatusUnauthorized:     "UNAUTHORIZED",
		http.StatusForbidden:        "DENIED",
		http.StatusNotFound:         "NAME_UNKNOWN",
		http.StatusMethodNotAllowed: "UNSUPPORTED",
	}[status]
	return only(Refuse(status, cmp.Or(code, "UNKNOWN"), "cross-repository mount refused"), Is(Mount))
}

// DelayVisibility answers the first n GETs and HEADs of a manifest after its PUT with
// 404, for each tag and digest it was put under. It has to see the PUTs, so match it
// by repository, not by kind.
func DelayVisibility(n int) Fault {
	var mu sync.Mutex
	left := map[string]int{} // by repository@reference
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		kind, repo, ref := classify(r)
		switch kind {
		case ManifestPut:
			EditResponse(func(status int, h http.Header) {
				if status/100 != 2 {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, name := range append(confirmedTags(h), ref, h.Get("Docker-Content-Digest")) {
					left[repo+"@"+name] = n
				}
			})(w, r, next)
			return
		case ManifestGet, ManifestHead:
			mu.Lock()
			hidden := left[repo+"@"+ref] > 0
			if hidden {
				left[repo+"@"+ref]--
			}
			mu.Unlock()
			if hidden {
				writeError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
				return
			}
		}
		next.ServeHTTP(w, r)
	}
}

// MoveTag points tag at another object just before the matched request, as a second
// promoter would; to is pushed at once, untagged.
func (s *Server) MoveTag(t TB, repo, tag string, to Object) Fault {
	t.Helper()
	s.Push(t, repo, to)
	return Before(func(*http.Request) {
		if err := s.tag(repo, tag, to); err != nil {
			t.Errorf("registrytest: moving %s:%s: %v", repo, tag, err)
		}
	})
}

// EndlessPages answers tag lists and catalogs with made-up pages of perPage names,
// each of which names a next one. Other requests pass.
func EndlessPages(perPage int) Fault {
	return only(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		kind, repo, _ := classify(r)
		at, err := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("last"), "endless-"))
		if err != nil {
			at = 0
		}
		names := make([]string, perPage)
		for i := range names {
			names[i] = fmt.Sprintf("endless-%09d", at+i+1)
		}
		page := map[string]any{"repositories": names}
		if kind == Tags {
			page = map[string]any{"name": repo, "tags": names}
		}
		setLink(w, r, "last", fmt.Sprintf("endless-%09d", at+max(perPage, 1)))
		writeJSON(w, page)
	}, Is(Tags, Catalog))
}
