package audit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// dropped counts what the store has dropped.
type dropped struct {
	events   atomic.Int64 // equal to more waiting events than maxParts
	verdicts atomic.Int64 // rejections above the limits
	alerts   atomic.Int64 // counted by one alert
}

// dropNotes is the state of the warnings about dropped entries.
type dropNotes struct {
	mu                       sync.Mutex
	last                     time.Time
	events, verdicts, alerts int64 // numbers at the last warning
}

// noteDrops warns about what was dropped since the last warning.
//
// It warns once a minute at most.
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
		{events - n.events, "events that are equal to waiting ones"},
		{verdicts - n.verdicts, "verdicts on rejected changes, the oldest ones"},
		{alerts - n.alerts, "alerts, which one alert counts"},
	} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	n.last, n.events, n.verdicts, n.alerts = now, events, verdicts, alerts
	a.options.Warn("dropped: " + strings.Join(parts, "; "))
}
