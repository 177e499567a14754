package pace

import (
	"time"

	"golang.org/x/time/rate"
)

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
