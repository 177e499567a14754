package pace

import (
	"time"

	"golang.org/x/time/rate"
)

// Answered records that the host accepted the request.
//
// It is called when the header of the response has arrived.
func (s *Slot) Answered() {
	h := s.host
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	took := now.Sub(s.sent)
	h.answered++
	if s.sent.After(h.emptied) {
		h.since++
		if !s.sent.After(h.refused) {
			h.during++
			if h.learned && !h.sure && h.meanwhile() > float64(h.rate.Limit()) {
				h.setRate(h.meanwhile())
			}
		}
	}
	if h.fastest == 0 || took < h.fastest {
		h.fastest = took
	}
	if h.learned && now.Sub(h.resumed) > h.calm && now.Sub(h.raised) > time.Second {
		h.raised = now
		h.speedUp(s)
	}
	if h.inFlight < int(h.limit) || now.Before(h.until) || took > slowFactor*h.fastest && took > h.fastest+slowSlack {
		return // the limit is not reached, the host has asked for a pause, or the host is busy
	}
	step := 1.0 // doubles the limit in a round trip
	if h.limit >= h.halved && !h.learned {
		step = recovery / h.limit
	}
	if most := h.most(); h.limit < most {
		h.limit = min(most, h.limit+step)
		h.hand()
	}
}

// speedUp raises the learned rate because the host did not refuse a request for some time.
func (h *Host) speedUp(s *Slot) {
	now := float64(h.rate.Limit())
	faster := now * h.raise
	switch {
	case now == h.qps:
		return
	case h.qps == 0 && faster > h.maximum()/h.fastest.Seconds(): // the requests in flight limit the rate anyway
		h.learned, h.sure, h.rate = false, false, nil
		return
	}
	h.counts = append(h.counts, h.count(s))
	h.setRate(faster)
	if h.sure {
		h.raise = min(fastRaise, 1+(h.raise-1)*raiseGrowth)
	}
}

// most returns what the limit of requests in flight may grow to now.
func (h *Host) most() float64 {
	switch {
	case h.learned, h.answered >= probation && h.answered < farProbation:
		return min(h.maximum(), maxInFlight)
	case h.answered >= farProbation:
		return h.maximum()
	}
	few := min(startFew, startInFlight+float64(h.answered)/fewer)
	return min(h.maximum(), max(few, startRate*h.fastest.Seconds()))
}

// maximum returns the maximum of requests in flight.
func (h *Host) maximum() float64 {
	if h.threads > 0 {
		return h.threads
	}
	return min(farInFlight, max(maxInFlight, farRate*h.fastest.Seconds()))
}

// Throttled records that the host refused with status 429.
//
// No request is sent for the duration of pause. Refusals may also lower the rate.
func (s *Slot) Throttled(pause time.Duration) {
	h := s.host
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.announced = announced{}
	h.pause(now.Add(pause))
	last := burst{pause: h.resumed.Sub(h.emptied), counts: append(h.counts, h.count(s))}
	switch {
	case !h.refused.IsZero() && s.sent.Before(h.resumed): // it was on its way when another request was refused
		h.doubt.too++
		if !h.learned && h.doubt.limits() {
			h.learn()
		}
	case h.learned:
		h.cut(last)
		h.refuse(s, now)
	default:
		h.doubt = refusal{burst: last, around: h.inFlight - 1}
		if h.since < strikeGap || h.since < pausedGap && last.total().took < last.pause {
			h.struck++
		} else {
			h.struck = 0
		}
		if h.struck >= minStrikes && h.since >= minAnswers && !h.erred {
			h.learn()
		}
		if h.answered < probation {
			h.answered = 0
		}
		h.limit = max(1, h.limit/2)
		h.halved = h.limit
		h.refuse(s, now)
	}
	h.resumed = h.until
	h.hand()
}

// pause sends no request until the given time.
func (h *Host) pause(until time.Time) {
	if !until.After(h.until) {
		return
	}
	h.until = until
	if h.wake != nil {
		h.wake.Stop()
		h.wake = nil
	}
}

// Limited records the rate that a host's refusal names.
func (s *Slot) Limited(perSecond float64) {
	h := s.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rate == nil {
		h.rate = rate.NewLimiter(rate.Inf, 1)
	}
	if float64(h.rate.Limit()) <= perSecond {
		return
	}
	if !h.learned {
		h.learned, h.first = true, h.doubt.burst
	}
	h.sure, h.raise, h.calm = true, raise, calm
	h.setRate(perSecond * margin)
}

// refuse records a refusal that starts a pause.
func (h *Host) refuse(s *Slot, now time.Time) {
	h.refused, h.emptied, h.since, h.during, h.counts = now, s.sent, 0, 0, nil
}

// learn limits the rate to a share of the rate before the refusal.
func (h *Host) learn() {
	h.learned, h.sure, h.strays = true, false, 0
	if h.rate == nil {
		h.rate = rate.NewLimiter(1, 1)
	}
	h.first = h.doubt.burst
	h.raise, h.calm = fastRaise, time.Second
	total := h.first.total()
	if total.answers > largeBurst {
		h.raise = slowRaise
	}
	h.setRate(max(h.meanwhile(), float64(total.answers)/max(total.took, h.fastest, time.Millisecond).Seconds()*firstCut))
}

// meanwhile returns margin of the rate, in requests per second, at which the host accepted
// requests while it refused others. The host's own limit is not lower.
func (h *Host) meanwhile() float64 {
	return margin * float64(max(0, h.during-1)) / max(h.refused.Sub(h.emptied), time.Millisecond).Seconds()
}

// cut lowers the learned rate after a burst that ended with another refusal.
//
// A refusal after few requests, or one that shows a rate far below the confirmed one, has
// another reason than the rate. After maxStrays of these the learned rate is dropped.
func (h *Host) cut(b burst) {
	now := float64(h.rate.Limit())
	quota, ok := quotaOf(h.first, b, now, h.sure)
	if !ok {
		quota = max(now*cut, b.least())
	}
	if b.total().answers < minAnswers || h.sure && quota < farBelow*h.quota {
		if h.strays++; h.strays >= maxStrays {
			h.forget()
		}
		return
	}
	h.strays = 0
	if !h.sure {
		h.quota = quota
	}
	h.raise, h.calm, h.sure = raise, calm, true
	h.setRate(max(quota*margin, now*deepest))
}

// forget drops the learned rate. Only refusals of several requests at once show one again.
func (h *Host) forget() {
	h.learned, h.erred, h.struck = false, true, 0
	if h.rate = nil; h.qps > 0 {
		h.rate = rate.NewLimiter(rate.Limit(h.qps), 1)
	}
}

// burst describes the requests from a pause to a refusal.
//
// Its times are those when requests were sent, so that they do not include the latency.
type burst struct {
	pause  time.Duration // from the last refused request to the end of the pause
	counts []count       // at each raise of the rate, and at the refusal
}

// count is a number of accepted requests since a pause.
type count struct {
	took    time.Duration
	answers int
}

// count returns the count when a request was sent. Its response has arrived.
func (h *Host) count(s *Slot) count { return count{max(0, s.sent.Sub(h.resumed)), h.since} }

// total returns the count at the refusal. It is zero if there was none.
func (b burst) total() count {
	if len(b.counts) == 0 {
		return count{}
	}
	return b.counts[len(b.counts)-1]
}

// least returns the least rate of a host that has accepted these requests.
func (b burst) least() float64 {
	return float64(b.total().answers) / max(b.pause+b.total().took, time.Millisecond).Seconds()
}

// fits reports whether a token bucket would accept these requests.
//
// The bucket is empty before the pause.
func (b burst) fits(size, perSecond float64) bool {
	tokens := min(size, perSecond*b.pause.Seconds())
	var last count
	for _, c := range b.counts {
		tokens = min(size, tokens+perSecond*(c.took-last.took).Seconds()-float64(c.answers-last.answers))
		if tokens < 0 {
			return false
		}
		last = c
	}
	return true
}

// quotaOf computes the rate of a host from two bursts. It is at most most.
//
// Each burst ended with a refusal. quotaOf assumes that the host has a token bucket that
// was full before the first burst, and empty before the pause of the second one. It
// returns a rate at which the bucket was empty again when the host refused: the lowest,
// or the highest if near is true. ok is false if there is none.
func quotaOf(first, second burst, most float64, near bool) (perSecond float64, ok bool) {
	total := first.total()
	fits := false
	for q := max(second.least(), most/100); q <= most && (!ok || near); q *= 1.01 {
		size := max(startInFlight, float64(total.answers)-q*total.took.Seconds())
		before := fits
		fits = second.fits(size, q)
		if fits && !before {
			perSecond, ok = q, true
		}
	}
	return perSecond, ok && fits
}

func (h *Host) setRate(r float64) {
	r = max(r, 0.2)
	if h.qps > 0 {
		r = min(r, h.qps)
	}
	h.rate.SetLimit(rate.Limit(r))
}

// Overloaded records a response with status 503.
//
// It lowers the limit of requests in flight.
func (s *Slot) Overloaded() {
	h := s.host
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.eased) > time.Second/2 { // the responses to one burst count once
		h.eased = now
		h.limit = max(min(h.limit, 4), h.limit*0.7)
	}
}

// Sent records that the request is being sent, on a connection that was ready.
//
// Without it, the time to connect counts as latency of the host.
func (s *Slot) Sent() {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.sent = time.Now()
}

// Done releases the slot. Further calls do nothing.
func (s *Slot) Done() { s.once.Do(s.host.release) }
