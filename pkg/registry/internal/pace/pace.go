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
	startInFlight = 10                     // where a host of unknown strength begins…
	probation     = 350                    // …and stays for so many answers: a host that counts requests a second tells by then
	mostInFlight  = 100                    // more keep no host busier from one client
	slowFactor    = 4                      // answers this many times slower than the quickest stop the growth…
	slowSlack     = 200 * time.Millisecond // …if they are slower by this much as well: noise is no sign
)

// How the rate that a host bears is found once it has refused requests (429).
const (
	firstCut = 0.5  // of the rate that was refused first: a burst allowance has flattered it
	deepCut  = 0.6  // when it refuses soon after a pause
	fineCut  = 0.85 // when it bore the rate for a while
	soon     = 2 * time.Second
	soonest  = 100 * time.Millisecond // too soon to tell an allowance from a rate
	margin   = 0.98                   // of a rate that two refusals agree on
	calm     = 5 * time.Second        // without a refusal before the rate is raised…
	fitted   = 15 * time.Second       // …or after so long, if two refusals agree on it…
	raise    = 1.03                   // …so much a second
)

// When refusals tell of a limit. One alone may have any reason, and before the host
// has answered anything there is no rate to learn from.
const (
	evidence = 10  // answers that a rate is learned from
	together = 0.2 // of the requests that were in flight, refused as well…
	atLeast  = 2   // …and so many of them, or
	strikes  = 3   // refusals, one after the other,
	apart    = 50  // with fewer answers in between
)

// refusal is what was known when the host refused a request, and no rate was learned yet.
type refusal struct {
	since  int           // answers since the last pause
	took   time.Duration // for them
	around int           // other requests in flight
	too    int           // of these, refused as well
}

// limits reports whether requests were refused together, at a rate that can be told.
func (r refusal) limits() bool {
	return r.since >= evidence && r.too >= max(atLeast, int(together*float64(r.around)))
}

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
	inFlight int
	waiting  list.List // of chan struct{}, closed when a slot is handed over
	until    time.Time // no request before
	wake     *time.Timer
	over     chan struct{} // closed when the host is given up
	ended    error         // why, once it is
	answered int           // since the beginning
	quickest time.Duration // answer seen
	eased    time.Time     // when the limit was last lowered

	rate    *rate.Limiter // nil: no bound on requests a second
	qps     float64       // the user's bound; 0: none
	learned bool          // the rate is what the host was found to bear
	first   burst         // that it was first learned from
	calm    time.Duration // without a refusal before the rate is raised
	refused time.Time     // when the host last refused
	doubt   refusal       // that refusal, while it is not known to tell of a limit
	struck  int           // refusals that followed each other closely
	resumed time.Time     // when the last pause ended, or the first request was sent
	since   int           // answers since then
	raised  time.Time     // when the rate was last raised
}

// New returns the pace of one host.
func New(o Options) *Host {
	h := &Host{limit: startInFlight, most: mostInFlight, over: make(chan struct{}), qps: o.QPS, calm: calm}
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

// End gives the host up: whoever waits for a slot, or asks for one later, gets the
// error of the first End.
func (h *Host) End(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended == nil {
		h.ended = why
		close(h.over)
	}
}

// Ended returns why the host was given up, or nil.
func (h *Host) Ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// Over is closed when the host is given up.
func (h *Host) Over() <-chan struct{} { return h.over }

// Acquire waits for a slot. It returns ctx's error if that ends first, and the reason
// if the host is given up.
func (h *Host) Acquire(ctx context.Context) (*Slot, error) {
	h.mu.Lock()
	switch {
	case h.ended != nil:
		h.mu.Unlock()
		return nil, h.Ended()
	case h.open() && h.waiting.Len() == 0:
		h.inFlight++
		h.mu.Unlock()
	default:
		turn := make(chan struct{})
		at := h.waiting.PushBack(turn)
		h.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			h.abandon(at, turn)
			return nil, ctx.Err()
		case <-h.over:
			h.abandon(at, turn)
			return nil, h.Ended()
		}
	}
	h.mu.Lock()
	limiter := h.rate
	if h.resumed.IsZero() {
		h.resumed = time.Now()
	}
	h.mu.Unlock()
	if limiter != nil {
		if err := h.turn(ctx, limiter); err != nil {
			h.release()
			return nil, err
		}
	}
	return &Slot{host: h, sent: time.Now()}, nil
}

// abandon ends the wait for a turn, which is passed on if it has come meanwhile.
func (h *Host) abandon(at *list.Element, turn <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-turn:
		h.inFlight--
		h.hand()
	default:
		h.waiting.Remove(at)
	}
}

// Again returns a slot for one more request in the place of s, which stays taken: the
// two are never in flight at once. It waits only where requests a second are bounded.
func (s *Slot) Again(ctx context.Context) (*Slot, error) {
	s.host.mu.Lock()
	limiter := s.host.rate
	s.host.mu.Unlock()
	if limiter != nil {
		if err := s.host.turn(ctx, limiter); err != nil {
			return nil, err
		}
	}
	next := &Slot{host: s.host, sent: time.Now()}
	next.once.Do(func() {}) // what is given back is s
	return next, nil
}

// turn waits until the rate allows a request, and for the end of a pause that begins meanwhile.
func (h *Host) turn(ctx context.Context, limiter *rate.Limiter) error {
	for {
		next := limiter.Reserve()
		if err := h.sleep(ctx, next.Delay()); err != nil {
			next.Cancel()
			return err
		}
		h.mu.Lock()
		rest := time.Until(h.until)
		h.mu.Unlock()
		if rest <= 0 {
			return nil
		}
		if err := h.sleep(ctx, rest); err != nil {
			return err
		}
	}
}

// sleep waits for d, unless ctx ends or the host is given up.
func (h *Host) sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.over:
		return h.Ended()
	}
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
