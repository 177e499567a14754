// Package pace decides when a request to a registry host may be sent.
//
// Each registry host has one Host, which limits three things. The number of requests in
// flight grows while responses are fast, and halves when the host refuses a request with
// status 429. The number of requests per second is limited by the user, or once the host
// has shown a limit of its own. After a refusal, no request is sent for the time that the
// host asks for.
//
// The package sends nothing itself and never retries.
package pace

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// These constants decide how many requests may be in flight.
//
// simulation_test.go shows what they cost with and without limits on requests per second.
const (
	startInFlight = 10  // requests in flight to a host at first
	maxInFlight   = 100 // requests in flight, as long as these make farRate
	farInFlight   = 160 // requests in flight to a host so far away that fewer do not make farRate

	// maxReserved is the number of requests that a limited rate gives a time in advance.
	// They keep it if the rate is raised: with all requests that wait, the host would get
	// those of the old rate and those of the new one at once.
	maxReserved = 8

	// farRate is a rate, in requests per second, from which more in flight make no run
	// much faster. A host has to accept farProbation requests for more than maxInFlight.
	farRate      = 1500
	farProbation = 800

	// Until a host has accepted probation requests, no more than startRate are sent in a
	// second. A host with a limit usually refuses one by then, and then refuses all that
	// are in flight. Few requests in flight may be more in a second: their number grows
	// to startFew, by one for every fewer requests that the host has accepted.
	startRate = 500
	probation = 570
	startFew  = 15
	fewer     = 20

	// The number does not grow after a response that is slower than the fastest one by
	// this factor and by this time. Smaller differences are noise.
	slowFactor = 4
	slowSlack  = 200 * time.Millisecond

	// After a refusal that shows no limit, the number is halved. It then grows by recovery
	// each round trip, instead of doubling.
	recovery = 4
)

// These constants decide how the rate is learned from refusals (429).
const (
	// firstCut is the first rate, as a share of the rate before the first refusal. That
	// one is too high, because many hosts accept a burst of requests. Until the second
	// refusal, the rate is raised each second by fastRaise, or by slowRaise after a burst
	// of more than largeBurst requests, because a rate that is too high then shows late.
	firstCut   = 0.4
	fastRaise  = 1.5
	slowRaise  = 1.2
	largeBurst = 100

	// A later refusal shows the rate of the host (quotaOf). The rate is set to this margin
	// of it. If the refusal fits no rate, the rate is multiplied by cut. One refusal never
	// multiplies it by less than deepest.
	margin  = 0.95
	cut     = 0.85
	deepest = 0.3

	// After maxStrays refusals in a row that fit no limit, the learned rate is dropped: a
	// refusal after fewer than minAnswers requests, or one that shows less than farBelow
	// of the rate of the host.
	farBelow  = 0.5
	maxStrays = 2

	// The rate is raised each second once there was no refusal for calm, at first by the
	// factor raise. The raises grow by raiseGrowth, up to fastRaise.
	calm        = 10 * time.Second
	raise       = 1.02
	raiseGrowth = 1.25
)

// These constants decide when refusals show a limit on requests per second.
//
// A single refusal may have another reason. Before the host has accepted a request, there
// is no rate to learn from.
const (
	minAnswers      = 10  // accepted requests before the first refusal
	minRefusedShare = 0.2 // of the other requests in flight that are refused, too
	minRefused      = 2   // other requests in flight that are refused, too
	minStrikes      = 3   // refusals in a row, each after few accepted requests:
	strikeGap       = 50  // fewer than these
	pausedGap       = 150 // or fewer than these, in less time than the pause before them took
)

// refusal describes the first refusal of a burst, before a rate was learned.
type refusal struct {
	burst  burst
	around int // other requests in flight
	too    int // how many of those were refused, too
}

// limits reports whether the refusals show a limit on requests per second.
func (r refusal) limits() bool {
	return r.burst.total().answers >= minAnswers && r.too >= max(minRefused, int(minRefusedShare*float64(r.around)))
}

// Options limit a Host.
type Options struct {
	Threads int     // maximum number of requests in flight; 0: adapt, starting with 10
	QPS     float64 // maximum number of requests per second; 0: no limit
}

// Host is the pace of one host. It is safe for concurrent use.
type Host struct {
	mu       sync.Mutex
	limit    float64 // current limit of requests in flight
	threads  float64 // the user's maximum of limit; 0: none
	halved   float64 // limit after the last refusal
	inFlight int
	waiting  list.List // of chan struct{}, which is closed when the waiter gets a slot
	until    time.Time // the end of the pause
	wake     *time.Timer
	over     chan struct{} // closed when the host is given up
	ended    error         // the reason, after that
	answered int           // accepted requests, since the start or the last probation
	fastest  time.Duration // response
	eased    time.Time     // when Overloaded last lowered the limit

	announced announced

	rate     *rate.Limiter // nil: no limit on requests per second
	reserved chan struct{} // has an element for each request that the limiter has given a time
	qps      float64       // the user's limit; 0: none
	learned  bool          // the rate was learned from refusals
	sure     bool          // another refusal has confirmed it
	quota    float64       // the rate of the host that this refusal showed
	strays   int           // consecutive refusals since then that show another reason
	erred    bool          // a learned rate was dropped
	first    burst         // the burst that it was first learned from
	raise    float64       // the next factor of the rate
	calm     time.Duration // time without a refusal before the rate is raised
	refused  time.Time     // when the host last refused a request
	emptied  time.Time     // when the request was sent that the host refused last
	doubt    refusal       // the last refusal, until it has shown a limit
	struck   int           // consecutive refusals with few accepted requests between them
	resumed  time.Time     // when the last pause ended, or the first request was sent
	since    int           // accepted requests since then
	during   int           // accepted requests that were sent between emptied and refused
	counts   []count       // when the rate was raised since then
	raised   time.Time     // when the rate was last raised
}

// New returns the pace of one host.
func New(o Options) *Host {
	h := &Host{limit: startInFlight, halved: farInFlight, threads: float64(o.Threads), qps: o.QPS}
	h.over, h.reserved = make(chan struct{}), make(chan struct{}, maxReserved)
	if o.Threads > 0 {
		h.limit = min(h.limit, h.threads)
	}
	if o.QPS > 0 {
		h.rate = rate.NewLimiter(rate.Limit(o.QPS), 1)
	}
	return h
}

// Slot is the permission to have one request in flight. Done must be called.
type Slot struct {
	host *Host
	sent time.Time
	once sync.Once
}

// End gives up the host. Acquire then returns the error of the first End.
//
// This includes calls of Acquire that are waiting.
func (h *Host) End(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended == nil {
		h.ended = why
		close(h.over)
	}
}

// Ended returns the error of End, or nil.
func (h *Host) Ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// Over returns a channel that is closed when the host is given up.
func (h *Host) Over() <-chan struct{} { return h.over }

// Acquire waits for a slot.
//
// The error is that of ctx, or that of End.
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
	if err := h.turn(ctx); err != nil {
		h.release()
		return nil, err
	}
	return &Slot{host: h, sent: time.Now()}, nil
}

// abandon ends the wait for a slot.
//
// If the slot has already come, it is passed on.
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

// Again returns a slot for one more request.
//
// The request of s must not be in flight. Again waits only for the limit on requests per
// second. The new slot belongs to s: its Done does nothing.
func (s *Slot) Again(ctx context.Context) (*Slot, error) {
	if err := s.host.turn(ctx); err != nil {
		return nil, err
	}
	next := &Slot{host: s.host, sent: time.Now()}
	next.once.Do(func() {}) // only the Done of s releases the slot
	return next, nil
}

// turn waits for the rate, if it is limited, and then for the end of a pause.
func (h *Host) turn(ctx context.Context) error {
	h.mu.Lock()
	if h.resumed.IsZero() {
		h.resumed = time.Now()
	}
	limited := h.rate != nil
	h.mu.Unlock()
	if !limited {
		return nil
	}
	select {
	case h.reserved <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-h.over:
		return h.Ended()
	}
	defer func() { <-h.reserved }()
	for {
		h.mu.Lock()
		limiter := h.rate
		h.mu.Unlock()
		if limiter == nil {
			return nil // the learned rate was dropped
		}
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
	return h.inFlight < h.room() && !time.Now().Before(h.until)
}

// hand gives free slots to waiters.
//
// During a pause it starts a timer for that.
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
