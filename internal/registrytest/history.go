package registrytest

import (
	"net/http"
	"slices"
	"sync"
)

// Change is one thing that a registry stored or removed.
type Change struct {
	Kind   Kind // ManifestPut, Mount, UploadPost, UploadPut or Delete
	Repo   string
	Ref    string // the tag, or the digest of the manifest or blob
	Digest string // that is stored; empty for Delete
	Old    string // for a tag: the digest that it had before
	Direct bool   // made by the test, with a method that is not recorded
}

type history struct {
	mu   sync.Mutex
	list []Change
}

func (h *history) add(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, c)
}

// Changes returns what the registry stored and removed, in order. A manifest put under
// several tags is a change for each of them. Answers do not matter: a request that was
// carried out and answered with an error is among them.
func (s *Server) Changes() []Change {
	s.store.history.mu.Lock()
	defer s.store.history.mu.Unlock()
	return slices.Clone(s.store.history.list)
}

// directKey marks the context of requests that a test makes beneath the record.
type directKey struct{}

func isDirect(r *http.Request) bool { return r.Context().Value(directKey{}) != nil }
