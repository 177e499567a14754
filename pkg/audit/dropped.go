package audit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// dropped counts what the store did not keep.
type dropped struct {
	events   atomic.Int64 // that say the same as so many that wait
	verdicts atomic.Int64 // of rejected changes, beyond what is kept
	alerts   atomic.Int64 // that one alert stands for
}

// dropNotes warns of what the store did not keep, once a minute at most.
type dropNotes struct {
	mu                       sync.Mutex
	last                     time.Time
	events, verdicts, alerts int64 // that were warned of
}

// noteDrops warns of what was dropped since the last warning.
func (a *Auditor) noteDrops(now time.Time) {
	d, n := &a.store.dropped, &a.drops
	events, verdicts, alerts := d.events.Load(), d.verdicts.Load(), d.alerts.Load()
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.last) < time.Minute || events == n.events && verdicts == n.verdicts && alerts == n.alerts {
		return
	}
	var parts []string
	for _, part := range []struct {
		count int64
		what  string
	}{
		{events - n.events, "events that say the same as ones that wait"},
		{verdicts - n.verdicts, "verdicts on rejected changes, the oldest"},
		{alerts - n.alerts, "alerts, which one alert stands for"},
	} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	n.last, n.events, n.verdicts, n.alerts = now, events, verdicts, alerts
	a.options.Warn("dropped: " + strings.Join(parts, "; "))
}
