package registrytest

import (
	"net/http"
	"strconv"
	"sync/atomic"
)

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

// UploadsAt opens each upload with this Location, wherever that leads.
func UploadsAt(location string) Fault {
	return Status(http.StatusAccepted, Header("Location", location), "")
}

// Swallow answers manifest PUTs with 201 and the digest that they name, and stores nothing.
func Swallow() Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if _, _, ref := classify(r); isDigest(ref) {
			w.Header().Set("Docker-Content-Digest", ref)
		}
		w.WriteHeader(http.StatusCreated)
	}
}

// Until matches requests up to the first that other matches.
func Until(other Match) Match {
	var over atomic.Bool
	return func(r *http.Request) bool {
		if other(r) {
			over.Store(true)
		}
		return !over.Load()
	}
}
