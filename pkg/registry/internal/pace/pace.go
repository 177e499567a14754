// Package pace decides when a request to a registry host may be sent.
//
// Each host has one Host: a bound on requests in flight that grows while answers
// stay quick and halves when the host says it is too much, an optional bound on
// requests a second, and a pause that holds every request back for as long as
// the host asked. It sends nothing itself and never retries.
package pace

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	startInFlight = 10                     // where an unlimited host begins
	mostInFlight  = 100                    // more keep no host busier from one client
	slowFactor    = 4                      // answers this many times slower than the quickest stop the growth…
	slowSlack     = 200 * time.Millisecond // …if they are slower by this much as well: noise is no sign
)

// Options bound a Host.
type Options struct {
	Threads int     // most requests in flight; 0: adapt, beginning with 10
	QPS     float64 // most requests a second; 0: no bound
}

// Host is the pace of one host. It is safe for concurrent use.
type Host struct {
	mu       sync.Mutex
	limit    float64 // requests in flight allowed now
	most     float64
	slow     bool // the host has refused once: grow by one a round trip, not by doubling
	inFlight int
	waiting  list.List // of chan struct{}, closed when a slot is handed over
	until    time.Time // no request before
	wake     *time.Timer
	cut      time.Time     // of the last halving
	quickest time.Duration // answer seen
	rate     *rate.Limiter
}

// New returns the pace of one host.
func New(o Options) *Host {
	h := &Host{limit: startInFlight, most: mostInFlight}
	if o.Threads > 0 {
		h.most = float64(o.Threads)
		h.limit = min(h.limit, h.most)
	}
	if o.QPS > 0 {
		h.rate = rate.NewLimiter(rate.Limit(o.QPS), 1)
	}
	return h
}

// Slot is the permission to have one request in flight. It must be given back, once, with Done.
type Slot struct {
	host *Host
	sent time.Time
	once sync.Once
}

// Acquire waits for a slot. It returns ctx's error if that ends first.
func (h *Host) Acquire(ctx context.Context) (*Slot, error) {
	h.mu.Lock()
	if h.open() && h.waiting.Len() == 0 {
		h.inFlight++
		h.mu.Unlock()
	} else {
		turn := make(chan struct{})
		at := h.waiting.PushBack(turn)
		h.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			h.mu.Lock()
			select {
			case <-turn: // handed over meanwhile: pass it on
				h.inFlight--
				h.hand()
			default:
				h.waiting.Remove(at)
			}
			h.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	if h.rate != nil {
		if err := h.rate.Wait(ctx); err != nil {
			h.release()
			return nil, err
		}
	}
	return &Slot{host: h, sent: time.Now()}, nil
}

// open reports whether a request may be sent now.
func (h *Host) open() bool {
	return h.inFlight < int(h.limit) && !time.Now().Before(h.until)
}

// hand gives free slots to those who wait, and sees to it that they wake after a pause.
func (h *Host) hand() {
	for h.waiting.Len() > 0 && h.open() {
		h.inFlight++
		close(h.waiting.Remove(h.waiting.Front()).(chan struct{}))
	}
	if rest := time.Until(h.until); rest > 0 && h.wake == nil {
		h.wake = time.AfterFunc(rest, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.wake = nil
			h.hand()
		})
	}
}

func (h *Host) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight--
	h.hand()
}

// Answered tells how the host took the request. It is called when the head of the
// answer is there; the slot stays taken until Done. Answers to uploads say nothing
// of the host's pace and need not be told.
func (s *Slot) Answered() {
	h := s.host
	took := time.Since(s.sent)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.quickest == 0 || took < h.quickest {
		h.quickest = took
	}
	if took > slowFactor*h.quickest && took > h.quickest+slowSlack {
		return
	}
	if h.inFlight < int(h.limit) { // the limit is not what holds the host back
		return
	}
	if h.slow {
		h.limit = min(h.most, h.limit+1/h.limit)
	} else {
		h.limit = min(h.most, h.limit+1)
	}
	h.hand()
}

// Throttled tells that the host asked for less. Every request waits for at least pause.
func (s *Slot) Throttled(pause time.Duration) {
	h := s.host
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := now.Add(pause); until.After(h.until) {
		h.until = until
		if h.wake != nil {
			h.wake.Stop()
			h.wake = nil
		}
	}
	h.slow = true
	if s.sent.After(h.cut) { // requests sent before the last halving say nothing new
		h.limit = max(1, h.limit/2)
		h.cut = now
	}
	h.hand()
}

// Done gives the slot back. Further calls do nothing.
func (s *Slot) Done() { s.once.Do(s.host.release) }
