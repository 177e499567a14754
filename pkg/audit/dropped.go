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
	mu     sync.Mutex
	last   time.Time
	counts [3]int64 // at the last warning: events, verdicts, alerts
}

// noteDrops warns about what was dropped since the last warning.
//
// It warns once a minute at most.
func (a *Auditor) noteDrops(now time.Time) {
	d, n := &a.store.dropped, &a.drops
	counts := [3]int64{d.events.Load(), d.verdicts.Load(), d.alerts.Load()}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.last) < time.Minute || counts == n.counts {
		return
	}
	var parts []string
	for i, what := range []string{
		"events that are equal to waiting ones",
		"verdicts on rejected changes, the oldest ones",
		"alerts, which one alert counts",
	} {
		if more := counts[i] - n.counts[i]; more > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", more, what))
		}
	}
	n.last, n.counts = now, counts
	a.options.Warn("dropped: " + strings.Join(parts, "; "))
}
