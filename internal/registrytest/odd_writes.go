package registrytest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ErrorAfter lets the registry act and answers with an error status all the same.
func ErrorAfter(status int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(newDiscard(), r)
		writeError(w, status, "UNKNOWN", "registrytest: done, but not well")
	}
}

// LoseManifests answers 201 to the PUT of a manifest by digest, and stores nothing.
// A PUT that names tags and other requests pass.
func LoseManifests() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		kind, _, ref := classify(r)
		if kind != ManifestPut || !isDigest(ref) || r.URL.Query().Has("tag") {
			next.ServeHTTP(w, r)
			return
		}
		_, _ = reread(r.Body)
		created(w, r.URL.Path, ref)
	}
}

func created(w http.ResponseWriter, path, digest string) {
	w.Header().Set("Location", path)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// FalseMounts answers 201 to mounts, but mounts nothing.
//
// Other requests pass.
func FalseMounts() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		kind, repo, _ := classify(r)
		if kind != Mount {
			next.ServeHTTP(w, r)
			return
		}
		digest := r.URL.Query().Get("mount")
		created(w, blobPath(repo, digest), digest)
	}
}

// CommittedMounts mounts only blobs that a manifest in the source repository names, as
// ECR does. Other mounts open an upload session.
func CommittedMounts() Option {
	refuse := RefuseMounts(http.StatusAccepted)
	return func(c *config) {
		c.views = append(c.views, func(st *store, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				if kind, _, _ := classify(r); kind == Mount && !st.names(q.Get("from"), q.Get("mount")) {
					refuse(w, r, next)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
	}
}

// names reports whether a manifest in repo names digest.
func (st *store) names(repo, digest string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.repos[repo] == nil {
		return false
	}
	for _, m := range st.repos[repo].manifests {
		if bytes.Contains(m.raw, []byte(digest)) {
			return true
		}
	}
	return false
}

// ClaimBlobs answers the HEAD of a blob of o with 200 and the right size, also where a
// repository does not have it. Other requests pass.
func ClaimBlobs(o ...Object) Fault {
	sizes := map[string]int{}
	for i := range o {
		o[i].walk(func(m Object) {
			for _, b := range m.Blobs {
				sizes[b.Digest] = len(b.Raw)
			}
		})
	}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		kind, _, ref := classify(r)
		size, ok := sizes[ref]
		if kind != BlobHead || !ok {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Header().Set("Docker-Content-Digest", ref)
		w.WriteHeader(http.StatusOK)
	}
}

// MoveUploads names another address in the answers that open upload sessions: base, the
// scheme and host of a server, followed by the path and query of the real session.
func MoveUploads(base string) Fault {
	return relocate(func(_, location *url.URL) string { return base + location.RequestURI() })
}

// UploadsOnManifest names, in the answers that open upload sessions, the address of a
// manifest in the place of the session: of ref in the same repository.
func UploadsOnManifest(ref string) Fault {
	return relocate(func(asked, _ *url.URL) string {
		repo, _, _ := strings.Cut(strings.TrimPrefix(asked.Path, "/v2/"), "/blobs/uploads")
		return fmt.Sprintf("%s?_state=registrytest", manifestPath(repo, ref))
	})
}

// relocate changes the Location of answers that open upload sessions.
func relocate(to func(asked, location *url.URL) string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		kind, _, _ := classify(r)
		if kind != UploadPost && kind != Mount {
			next.ServeHTTP(w, r)
			return
		}
		EditResponse(func(status int, h http.Header) {
			if loc, err := url.Parse(h.Get("Location")); err == nil && status == http.StatusAccepted {
				h.Set("Location", to(r.URL, loc))
			}
		})(w, r, next)
	}
}
