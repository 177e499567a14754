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
	took := now.Sub(s.sent)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered++
	h.since++
	if h.learned && now.Sub(h.refused) > h.calm && now.Sub(h.raised) > time.Second {
		h.raised = now
		h.setRate(float64(h.rate.Limit()) * raise)
	}
	if h.fastest == 0 || took < h.fastest {
		h.fastest = took
	}
	switch {
	case h.answered < probation && h.limit >= startInFlight, h.inFlight < int(h.limit): // too early, or the limit is not reached
	case took > slowFactor*h.fastest && took > h.fastest+slowSlack: // the host is busy
	case h.learned:
		h.limit = min(h.maximum, h.limit+1/h.limit)
		h.hand()
	default:
		h.limit = min(h.maximum, h.limit+1)
		h.hand()
	}
}

// Throttled records that the host refused the request with status 429.
//
// No request is sent for the duration of pause. Refusals may also lower the rate.
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
	case !s.sent.After(h.refused): // it was in flight when another request was refused
		h.doubt.too++
		if !h.learned && h.doubt.limits() {
			h.learn()
		}
	case h.learned:
		h.cut(burst{h.since, took})
		h.refuse(now)
	default:
		h.doubt = refusal{since: h.since, took: took, around: h.inFlight - 1}
		if h.since < strikeGap {
			h.struck++
		} else {
			h.struck = 0
		}
		if h.struck >= minStrikes && h.since > 0 {
			h.learn()
		}
		h.answered = 0 // starts a new probation
		h.refuse(now)
	}
	h.resumed = h.until
	h.hand()
}

// refuse records a refusal and halves the limit of requests in flight.
func (h *Host) refuse(now time.Time) {
	h.refused, h.since = now, 0
	h.limit = max(1, h.limit/2)
}

// learn limits the rate to a share of the rate before the refusal.
func (h *Host) learn() {
	h.learned = true
	if h.rate == nil {
		h.rate = rate.NewLimiter(1, 1)
	}
	h.first = burst{h.doubt.since, h.doubt.took}
	h.setRate(float64(h.first.answers) / max(h.first.took.Seconds(), 0.02) * firstCut)
}

// cut lowers the learned rate after another refusal.
func (h *Host) cut(b burst) {
	quota, ok := quotaOf(h.first, b, h.resumed.Sub(h.refused))
	switch {
	case ok && h.calm == calm: // only once: later bursts do not start with a full token bucket
		h.calm = calmExact
		h.setRate(quota * margin)
	case b.took < soon:
		h.setRate(float64(h.rate.Limit()) * deepCut)
	default:
		h.setRate(float64(h.rate.Limit()) * fineCut)
	}
}

// burst describes the requests between a pause and the next refusal.
type burst struct {
	answers int           // accepted requests
	took    time.Duration // from the end of the pause to the refusal
}

// quotaOf computes the rate of a host from two bursts.
//
// Each burst ended with a refusal. quotaOf assumes that the host has a token bucket that is
// full before each burst. Then answers = size of the bucket + rate × time. ok is false
// if the result is implausible.
func quotaOf(first, second burst, pause time.Duration) (perSecond float64, ok bool) {
	if second.took < first.took*3/2 || second.took < minBurst {
		return 0, false // the bursts are too similar to compute size and rate
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

// Done releases the slot. Further calls do nothing.
func (s *Slot) Done() { s.once.Do(s.host.release) }
