package registrytest

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

// damage is what repositories have in the place of blobs.
type damage struct {
	mu    sync.Mutex
	blobs map[damagedAt]damagedBlob
}

type damagedAt struct{ repo, digest string }

type damagedBlob struct {
	raw     []byte
	lasting bool
}

// DamageBlob makes a repository hold raw where the bytes of a blob should be: its size
// in HEAD and its body in GET are those of raw. An upload or a mount of the blob repairs
// it, unless the damage is lasting: the registry then keeps what it has and says 201, as
// storage does that looks only for the name.
func (s *Server) DamageBlob(repo, digest string, raw []byte, lasting bool) {
	d := &s.store.damage
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.blobs == nil {
		d.blobs = map[damagedAt]damagedBlob{}
	}
	d.blobs[damagedAt{repo, digest}] = damagedBlob{raw, lasting}
}

func (d *damage) repair(repo, digest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := (damagedAt{repo, digest}); !d.blobs[at].lasting {
		delete(d.blobs, at)
	}
}

// damaged returns the registry, with other bytes for a damaged blob that is asked for.
func (st *store) damaged(repo, digest string) http.Handler {
	st.damage.mu.Lock()
	b, ok := st.damage.blobs[damagedAt{repo, digest}]
	st.damage.mu.Unlock()
	if !ok {
		return st.backend
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := classify(r)
		if kind != BlobGet && kind != BlobHead || !has(st.backend, r) {
			st.backend.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Docker-Content-Digest", digest)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.raw))
	})
}

// has reports whether h answers 200 to a HEAD of what r asks for.
func has(h http.Handler, r *http.Request) bool {
	r = clone(r)
	r.Method, r.Body, r.ContentLength = http.MethodHead, http.NoBody, 0
	r.Header.Del("Range")
	status := 0
	tw := &tap{ResponseWriter: newDiscard(), header: func(code int) { status = code }}
	tw.serve(h, r)
	return status == http.StatusOK
}
