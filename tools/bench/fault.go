package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// faults decides which requests fail, and how. That follows from the seed, from what
// is asked for and from how often it has been: not from the order of arrival.
type faults struct {
	share float64
	seed  string

	mu   sync.Mutex
	seen map[string]int
}

// fault is what happens to a request.
type fault int

const (
	none        fault = iota
	serverError       // 500, 502, 503 or 504 before the registry sees it
	resetBefore       // the connection is reset before the registry sees it
	resetAfter        // the connection is reset in place of the registry's answer
	truncated         // half the body, for blobs
)

func newFaults(share float64, seed uint64, host int) *faults {
	return &faults{share: share, seed: fmt.Sprint(seed, host), seen: map[string]int{}}
}

// draw decides about a request.
func (f *faults) draw(r *http.Request) (what fault, status int) {
	if f.share == 0 {
		return none, 0
	}
	key := r.Method + " " + r.URL.RequestURI()
	if repo, _, ok := strings.Cut(r.URL.Path, "/blobs/uploads/"); ok { // the rest names a session, another in each run
		q := r.URL.Query()
		key = r.Method + " " + repo + " " + q.Get("digest") + q.Get("mount")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[key]++
	h := fnv.New128a()
	fmt.Fprint(h, f.seed, key, f.seen[key])
	sum := h.Sum(nil)
	rng := rand.New(rand.NewChaCha8([32]byte(append(sum, sum...))))
	if rng.Float64() >= f.share {
		return none, 0
	}
	kinds := 3
	if kindOf(r) == "blob GET" {
		kinds = 4
	}
	return serverError + fault(rng.IntN(kinds)), []int{500, 502, 503, 504}[rng.IntN(4)]
}

// fail does a fault to a request.
func fail(what fault, status int, w http.ResponseWriter, r *http.Request, next http.Handler) {
	answer := httptest.NewRecorder()
	if what == resetAfter || what == truncated {
		next.ServeHTTP(answer, r)
	}
	switch what {
	case serverError:
		refuse(w, status, "UNKNOWN")
	case truncated:
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		panic(http.ErrAbortHandler) // ends the connection after what was written
	default:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if tcp, ok := conn.(*countedConn).Conn.(interface{ SetLinger(int) error }); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		conn.Close()
	}
}
