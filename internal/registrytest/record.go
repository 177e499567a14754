package registrytest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// awaitLimit bounds a wait for requests that never come; a test reaches it only when it fails.
const awaitLimit = 30 * time.Second

// summaryLimit is how many requests a summary lists individually.
const summaryLimit = 200

type record struct {
	mu             sync.Mutex
	requests       []*Request
	inFlight, peak int
	arrived        chan struct{} // closed at the next arrival; nil: nobody waits
	idle           sync.Cond     // broadcast when inFlight drops to 0
}

func (rec *record) init() {
	rec.idle.L = &rec.mu
}

// awaitIdle waits until no handler runs.
func (rec *record) awaitIdle() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for rec.inFlight > 0 {
		rec.idle.Wait()
	}
}

func (rec *record) begin(r *http.Request) *Request {
	e := newRequest(r)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.requests = append(rec.requests, e)
	rec.inFlight++
	rec.peak = max(rec.peak, rec.inFlight)
	if rec.arrived != nil {
		close(rec.arrived)
		rec.arrived = nil
	}
	return e
}

// update changes an entry under the lock that readers take.
func (rec *record) update(f func()) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	f()
}

// recorded is the outermost layer. It notes each thing before the client can know of it,
// so a test that has its answer finds it in the record.
func (s *Server) recorded(next http.Handler) http.Handler {
	rec := &s.record
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := rec.begin(r)
		r = r.WithContext(r.Context()) // a shallow copy, because only the body is another
		r.Body = countedBody{r.Body, rec, &e.In}
		tw := &tap{ResponseWriter: w}
		tw.header = func(status int) {
			rec.update(func() { e.Status = status })
			s.noteUpload(e.Kind, r.URL, status, w.Header().Get("Location"))
		}
		tw.write = func(p []byte) (int, error) {
			if r.Method != http.MethodHead {
				rec.update(func() { e.Out += int64(len(p)) })
			}
			return w.Write(p)
		}
		defer func() {
			p := recover()
			rec.update(func() {
				if rec.inFlight--; rec.inFlight == 0 {
					rec.idle.Broadcast()
				}
				e.Aborted = p != nil
				if err, ok := p.(error); p != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
					e.Panic = fmt.Sprint(p)
				}
			})
			if p != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		tw.serve(next, r)
	})
}

type countedBody struct {
	io.ReadCloser
	rec *record
	n   *int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.rec.update(func() { *b.n += int64(n) })
	return n, err
}

// noteUpload follows upload sessions as the client sees them: one whose location
// never reached the client is not one the client could close.
func (s *Server) noteUpload(kind Kind, asked *url.URL, status int, location string) {
	up := &s.store.uploads
	switch kind {
	case Mount, UploadPost:
		loc, err := url.Parse(location)
		if status == http.StatusAccepted && err == nil {
			up.open(asked.ResolveReference(loc).Path)
		}
	case UploadPatch, UploadPut, UploadDelete:
		up.answered(kind, asked.Path, status)
	}
}

// Requests returns a copy of the record, by arrival.
func (s *Server) Requests() []Request {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	list := make([]Request, len(s.record.requests))
	for i, e := range s.record.requests {
		list[i] = *e
	}
	return list
}

// Count returns how many requests of these kinds arrived; without a kind, of all.
func (s *Server) Count(kinds ...Kind) int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.count(kinds)
}

func (rec *record) count(kinds []Kind) int {
	n := 0
	for _, e := range rec.requests {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			n++
		}
	}
	return n
}

// Writes returns the requests that could change the registry: all but GET, HEAD and tokens.
func (s *Server) Writes() []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool {
		return r.Kind == Token || r.Method == http.MethodGet || r.Method == http.MethodHead
	})
}

// Peak returns the most requests in flight at once.
func (s *Server) Peak() int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.peak
}

// Reset forgets the requests recorded so far. Faults, tokens and open uploads stay.
func (s *Server) Reset() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.requests = nil
	s.record.peak = s.record.inFlight
}

// Await returns when n requests of these kinds have arrived since the last Reset.
// They need not have been answered.
func (s *Server) Await(t TB, n int, kinds ...Kind) {
	t.Helper()
	limit := time.After(awaitLimit)
	for {
		s.record.mu.Lock()
		if s.record.arrived == nil {
			s.record.arrived = make(chan struct{})
		}
		have, arrived := s.record.count(kinds), s.record.arrived
		s.record.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-arrived:
		case <-limit:
			t.Fatalf("registrytest: %d requests of kind %v never came\n%s", n, kinds, s.Summary())
		}
	}
}

// OpenUploads returns how many upload sessions clients opened and neither finished nor deleted.
// A session counts once its location was sent, until a PUT succeeds, a DELETE is
// answered, or the registry says 404; a refused PUT leaves it open.
func (s *Server) OpenUploads() int { return len(s.store.uploads.list()) }

// Summary returns the record as text, for failure messages.
func (s *Server) Summary() string {
	list := s.Requests()
	counts := map[Kind]int{}
	for _, r := range list {
		counts[r.Kind]++
	}
	parts := make([]string, 0, len(counts))
	for kind, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(parts)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d requests (%s), at most %d at once\n", s.Host, len(list), strings.Join(parts, ", "), s.Peak())
	for i, r := range list {
		if i == summaryLimit {
			fmt.Fprintf(&b, "  … and %d more\n", len(list)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", r)
	}
	for _, path := range s.store.uploads.list() {
		fmt.Fprintf(&b, "  open upload %s\n", path)
	}
	return b.String()
}
