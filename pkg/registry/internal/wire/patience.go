package wire

import (
	"fmt"
	"sync"
	"time"
)

// trouble is what is known of a host that does not grant what it is asked for.
type trouble struct {
	mu    sync.Mutex
	since time.Time // of the first failing try since it granted something; zero: none
	due   time.Time // by when another try should have ended: a later one is a trouble of its own
	tries int
}

// granted ends the trouble: the host has answered a request in full.
func (h *host) granted() {
	h.trouble.mu.Lock()
	defer h.trouble.mu.Unlock()
	h.trouble.since, h.trouble.tries = time.Time{}, 0
}

// failing records a failing try, after which the host asks for a pause. A host that has
// granted nothing for as long as patience lasts, or will not have when the pause ends,
// is given up as a whole: every request to it then fails with the error that is returned.
func (h *host) failing(why error, pause time.Duration) error {
	limits := h.transport.options.Limits
	t := &h.trouble
	now := time.Now()
	t.mu.Lock()
	if t.since.IsZero() || now.After(t.due) {
		t.since, t.due, t.tries = now, now, 0
	}
	if due := now.Add(pause + longestBackoff + max(limits.Head, limits.Window)); due.After(t.due) {
		t.due = due
	}
	t.tries++
	lasts, tries := now.Sub(t.since), t.tries
	t.mu.Unlock()
	if lasts+pause > limits.Patience {
		h.pace.End(fmt.Errorf("giving up on %s, which has granted nothing for %v (tries: %d): %s", h.name, lasts.Round(time.Second), tries, why.Error()))
	}
	return h.pace.Ended()
}
