package registrytest

import (
	"bytes"
	"fmt"
	"io"
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
	named := func(r *http.Request) bool { return r.URL.Query().Has("tag") }
	return only(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _, digest := classify(r)
		created(w, r.URL.Path, digest)
	}, Is(ManifestPut), Not(ByTag()), Not(named))
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
	return only(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, repo, _ := classify(r)
		digest := r.URL.Query().Get("mount")
		created(w, blobPath(repo, digest), digest)
	}, Is(Mount))
}

// CommittedMounts mounts only blobs that a manifest in the source repository names, as
// ECR does. Other mounts open an upload session.
func CommittedMounts() Option {
	return with(func(st *store) Fault {
		return only(RefuseMounts(http.StatusAccepted), func(r *http.Request) bool {
			q := r.URL.Query()
			return !st.names(q.Get("from"), q.Get("mount"))
		})
	})
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
	return only(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, _, digest := classify(r)
		if size, ok := sizes[digest]; ok {
			ClaimBlob(size)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}, Is(BlobHead))
}

// ClaimBlob answers requests for a blob as a registry does that holds size bytes under
// its digest; the bytes of a GET are zero.
func ClaimBlob(size int) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _, digest := classify(r)
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Length", strconv.Itoa(size))
		if r.Method == http.MethodGet {
			_, _ = w.Write(make([]byte, size)) // the client may be gone
		}
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
	return only(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		EditResponse(func(status int, h http.Header) {
			if loc, err := url.Parse(h.Get("Location")); err == nil && status == http.StatusAccepted {
				h.Set("Location", to(r.URL, loc))
			}
		})(w, r, next)
	}, Is(UploadPost, Mount))
}
