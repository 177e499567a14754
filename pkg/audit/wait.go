package audit

import (
	"context"
	"time"
)

// signal wakes a goroutine. It holds one token at most.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

// send wakes the goroutine that waits, or the next one that does.
func (s signal) send() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// pause waits for d, for a signal or for the end of ctx.
func pause(ctx context.Context, d time.Duration, s signal) {
	select {
	case <-time.After(d):
	case <-s:
	case <-ctx.Done():
	}
}
