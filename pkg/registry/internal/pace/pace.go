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

// Answered tells that the host took the request. It is called when the head of the
// answer is there; the slot stays taken until Done.
func (s *Slot) Answered() {
	h := s.host
	now := time.Now()
	took := now.Sub(s.sent)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered++
	h.since++
	if h.learned && now.Sub(h.refused) > h.calm && now.Sub(h.raised) > time.Second {
		h.raised = now
		h.setRate(float64(h.rate.Limit()) * raise)
	}
	if h.quickest == 0 || took < h.quickest {
		h.quickest = took
	}
	switch {
	case h.answered < probation && h.limit >= startInFlight, h.inFlight < int(h.limit): // too early, or the limit is not what holds us back
	case took > slowFactor*h.quickest && took > h.quickest+slowSlack: // it is busy enough
	case h.learned:
		h.limit = min(h.most, h.limit+1/h.limit)
		h.hand()
	default:
		h.limit = min(h.most, h.limit+1)
		h.hand()
	}
}

// Throttled tells that the host refused the request as one too many (429). Every
// request waits for at least pause; after it they come at a rate that the host may bear.
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
	switch took := now.Sub(h.resumed); {
	case !s.sent.After(h.refused): // it was under way when another was refused
		h.doubt.too++
		if !h.learned && h.doubt.limits() {
			h.learn()
		}
	case h.learned:
		h.cut(burst{h.since, took})
		h.refuse(now)
	default:
		h.doubt = refusal{since: h.since, took: took, around: h.inFlight - 1}
		if h.since < apart {
			h.struck++
		} else {
			h.struck = 0
		}
		if h.struck >= strikes && h.since > 0 {
			h.learn()
		}
		h.answered = 0 // on probation again
		h.refuse(now)
	}
	h.resumed = h.until
	h.hand()
}

// refuse notes a refusal.
func (h *Host) refuse(now time.Time) {
	h.refused, h.since = now, 0
	h.limit = max(1, h.limit/2)
}

// learn bounds the rate by what the host bore before it refused.
func (h *Host) learn() {
	h.learned = true
	if h.rate == nil {
		h.rate = rate.NewLimiter(1, 1)
	}
	h.first = burst{h.doubt.since, h.doubt.took}
	h.setRate(float64(h.first.answers) / max(h.first.took.Seconds(), 0.02) * firstCut)
}

// cut lowers the rate that was learned, which was not low enough.
func (h *Host) cut(b burst) {
	quota, ok := quotaOf(h.first, b, h.resumed.Sub(h.refused))
	switch {
	case ok && h.calm == calm: // once: later ones are about what is left of an allowance
		h.calm = fitted
		h.setRate(quota * margin)
	case b.took < soon:
		h.setRate(float64(h.rate.Limit()) * deepCut)
	default:
		h.setRate(float64(h.rate.Limit()) * fineCut)
	}
}

// burst is how much a host took, from when it was rested until it refused.
type burst struct {
	answers int
	took    time.Duration
}

// quotaOf returns the rate of a host that refused at the end of two bursts, the
// second after a pause. It takes the host for a token bucket that was full, or filled
// for the whole pause, before each: then answers = allowance + rate × time.
func quotaOf(first, second burst, pause time.Duration) (perSecond float64, ok bool) {
	if second.took < first.took*3/2 || second.took < soonest {
		return 0, false // too much alike to tell allowance and rate apart
	}
	perSecond = float64(second.answers-first.answers) / (second.took - first.took).Seconds()
	least := float64(second.answers) / (pause + second.took).Seconds()
	most := float64(second.answers) / second.took.Seconds()
	return perSecond, perSecond > least && perSecond < most
}

func (h *Host) setRate(r float64) {
	r = max(r, 0.2)
	if h.qps > 0 {
		r = min(r, h.qps)
	}
	h.rate.SetLimit(rate.Limit(r))
}

// Overloaded tells that the host is in trouble (503): less is sent at once for a while.
func (s *Slot) Overloaded() {
	h := s.host
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.eased) > time.Second/2 { // one refusal among many answers is no overload
		h.eased = now
		h.limit = max(min(h.limit, 4), h.limit*0.7)
	}
}

// Done gives the slot back. Further calls do nothing.
func (s *Slot) Done() { s.once.Do(s.host.release) }
