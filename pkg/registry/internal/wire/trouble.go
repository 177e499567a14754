package wire

import (
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// longWait is how long a host may make a run wait without a warning.
const longWait = 5 * time.Second

// trouble describes the failed tries of a host since its last full response.
type trouble struct {
	mu     sync.Mutex
	since  time.Time // of the first failed try; zero: none
	due    time.Time // a failed try after this time starts a new trouble
	tries  int
	warned time.Time // the end of the wait in the last warning
}

// waiting logs a warning if a host makes the run wait for long. why is in its words.
//
// There is one warning at a time for each host.
func (h *host) waiting(until time.Time, why string) {
	now := time.Now()
	if until.Sub(now) <= longWait {
		return
	}
	h.trouble.mu.Lock()
	quiet := now.Before(h.trouble.warned)
	if !quiet {
		h.trouble.warned = until
	}
	h.trouble.mu.Unlock()
	if !quiet {
		h.transport.options.Warn("waiting for %s until %s (%v): %s", h.name, until.Format("15:04:05 MST"), until.Sub(now).Round(time.Second), why)
	}
}

// granted resets the trouble, because the host has sent a full response.
func (h *host) granted() {
	h.trouble.mu.Lock()
	defer h.trouble.mu.Unlock()
	h.trouble.since, h.trouble.tries = time.Time{}, 0
}

// failing records a failed try, followed by a pause.
//
// It gives up a host that has had no full response for longer than Limits.Patience,
// including the pause. From then on all requests to the host fail with the returned
// error.
func (h *host) failing(why error, pause time.Duration) error {
	limits := h.transport.options.Limits
	t := &h.trouble
	now := time.Now()
	t.mu.Lock()
	if t.since.IsZero() || now.After(t.due) {
		t.since, t.due, t.tries = now, now, 0
	}
	if due := now.Add(pause + maxBackoff + max(limits.Head, limits.Window)); due.After(t.due) {
		t.due = due
	}
	t.tries++
	lasts, tries := now.Sub(t.since), t.tries
	t.mu.Unlock()
	if lasts+pause > limits.Patience {
		h.pace.End(inventory.Retryable(fmt.Errorf("giving up on %s, which has granted nothing for %v (tries: %d): %s", h.name, lasts.Round(time.Second), tries, why.Error())))
	}
	return h.pace.Ended()
}
