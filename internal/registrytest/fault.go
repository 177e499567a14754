package registrytest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// Fault does something to a matched request: it answers itself, or passes the
// request on to next and changes what goes in or comes out. A fault may keep state;
// each call of a function that returns one makes a new one.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Match says whether a fault hits a request.
type Match func(r *http.Request) bool

// around returns next behind the fault.
func (f Fault) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
}

// only limits a fault to the requests for which every match holds; it passes on the others.
func only(f Fault, when ...Match) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		for _, m := range when {
			if !m(r) {
				next.ServeHTTP(w, r)
				return
			}
		}
		f(w, r, next)
	}
}

// Injection is a fault at work in a server.
type Injection struct {
	faults *faults
	fault  Fault
	hits   atomic.Int64
}

type faults struct {
	mu   sync.Mutex
	list []*Injection
}

// Fault adds f inside the faults added before it. It hits requests for which every
// match holds; they are asked in order, up to the first that does not hold, so a
// counting match counts only what those before it let through.
func (s *Server) Fault(f Fault, when ...Match) *Injection {
	i := &Injection{faults: &s.faults}
	i.fault = only(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		i.hits.Add(1)
		f(w, r, next)
	}, when...)
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, i)
	return i
}

// Hits returns how many requests the fault was done to.
func (i *Injection) Hits() int { return int(i.hits.Load()) }

// Remove ends the fault. Requests it holds stay held.
func (i *Injection) Remove() {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	i.faults.list = slices.DeleteFunc(i.faults.list, func(j *Injection) bool { return i == j })
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

func (s *Server) injected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.faults.mu.Lock()
		list := slices.Clone(s.faults.list)
		s.faults.mu.Unlock()
		h := next
		for _, i := range slices.Backward(list) {
			h = i.fault.around(h)
		}
		h.ServeHTTP(w, r)
	})
}

// Is matches requests of these kinds.
func Is(kinds ...Kind) Match {
	return func(r *http.Request) bool {
		kind, _, _ := classify(r)
		return slices.Contains(kinds, kind)
	}
}

// Repo matches requests to this repository.
func Repo(name string) Match {
	return func(r *http.Request) bool {
		_, repo, _ := classify(r)
		return repo == name
	}
}

// Ref matches requests for this tag or digest.
func Ref(name string) Match {
	return func(r *http.Request) bool {
		_, _, ref := classify(r)
		return ref == name
	}
}

// Not matches what m does not.
func Not(m Match) Match {
	return func(r *http.Request) bool { return !m(r) }
}

// Nth matches the n-th request that reaches it, from one.
func Nth(n int) Match { return counted(func(i int) bool { return i == n }) }

// First matches the first n requests that reach it.
func First(n int) Match { return counted(func(i int) bool { return i <= n }) }

// After matches requests after the first n that reach it.
func After(n int) Match { return counted(func(i int) bool { return i > n }) }

// Every matches each n-th request that reaches it.
func Every(n int) Match { return counted(func(i int) bool { return i%n == 0 }) }

func counted(hit func(i int) bool) Match {
	var mu sync.Mutex
	i := 0
	return func(*http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		i++
		return hit(i)
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

// thing identifies what a request asks for: kind, repository, reference and mounted or
// uploaded digest. All PATCH requests of a repository are one thing, since a retried
// upload has a session of its own.
type thing struct {
	kind                       Kind
	repo, ref, mounted, digest string
}

// each matches by the thing that a request asks for and the number of such requests so far.
func each(hit func(t thing, i int) bool) Match {
	var mu sync.Mutex
	seen := map[thing]int{}
	return func(r *http.Request) bool {
		kind, repo, ref := classify(r)
		if kind == UploadPatch || kind == UploadPut || kind == UploadDelete {
			ref = ""
		}
		q := r.URL.Query()
		t := thing{kind, repo, ref, q.Get("mount"), q.Get("digest")}
		mu.Lock()
		seen[t]++
		i := seen[t]
		mu.Unlock()
		return hit(t, i)
	}
}

// FirstEach matches the first n requests for each thing.
func FirstEach(n int) Match {
	return each(func(_ thing, i int) bool { return i <= n })
}

// Chance matches p of all requests (0 to 1). The seed, the thing that a request asks for
// and the number of such requests before it decide, not the order of arrival.
func Chance(p float64, seed uint64) Match {
	return each(func(t thing, i int) bool {
		h := fnv.New64a()
		fmt.Fprint(h, t, i)
		return rand.New(rand.NewPCG(seed, h.Sum64())).Float64() < p
	})
}

// Over matches requests beyond a rate, in requests per second, and a burst.
func Over(perSecond float64, burst int) Match {
	l := rate.NewLimiter(rate.Limit(perSecond), burst)
	return func(*http.Request) bool { return !l.Allow() }
}
