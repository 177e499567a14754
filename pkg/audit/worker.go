package audit

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

const (
	workers      = 256
	hostWorkers  = 64               // maximum for one host, so that a slow host does not delay others
	judgeLimit   = 30 * time.Second // for one try of one event
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = time.Minute // each try doubles the delay up to this one
)

// worker judges the waiting events.
//
// An event that cannot be judged is retried with increasing delays until it can be.
// If a registry does not answer, all events of its host wait.
type worker struct {
	store   *store
	judge   func(context.Context, event.Event) (verdict, error)
	settled func(record)
	warn    func(string)
	stale   signal // requests newer manifests
	wakeup  signal // sent when an event may have become due

	mu      sync.Mutex
	waiting schedule
	parked  []appointment            // tries that wait for newer manifests
	busy    map[string]int           // numbers of workers, by host
	held    map[string][]appointment // tries that are due and wait for a worker of their host
	retried int                      // events in waiting and held that were tried before
	trying  int                      // events that are being judged
	hosts   map[string]outage
	trouble string // the last error
}

// appointment is the next try of an event.
type appointment struct {
	due   time.Time
	seq   uint64
	tries int // that failed
	host  string
}

// outage describes a host that did not answer.
type outage struct {
	until time.Time // when to try again
	tries int       // that failed
}

// schedule is a heap of appointments, the earliest first.
type schedule []appointment

func (s schedule) Len() int { return len(s) }
func (s schedule) Less(i, j int) bool {
	return s[i].due.Before(s[j].due) || s[i].due.Equal(s[j].due) && s[i].seq < s[j].seq
}
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(appointment)) }
func (s *schedule) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}

// newWorker returns a worker for a store's waiting events.
func newWorker(s *store, judge func(context.Context, event.Event) (verdict, error), settled func(record), warn func(string)) (*worker, error) {
	w := &worker{store: s, judge: judge, settled: settled, warn: warn, wakeup: newSignal(), hosts: map[string]outage{}, busy: map[string]int{}, held: map[string][]appointment{}}
	err := s.EachPending(func(e waitingEvent) {
		w.waiting = append(w.waiting, appointment{seq: e.Seq, host: e.Event.Repository.RegistryStr()})
	})
	heap.Init(&w.waiting)
	return w, err
}

// add makes events due that were stored.
func (w *worker) add(events []waitingEvent) {
	w.mu.Lock()
	for _, e := range events {
		heap.Push(&w.waiting, appointment{due: e.Event.Received, seq: e.Seq, host: e.Event.Repository.RegistryStr()})
	}
	w.mu.Unlock()
	w.wakeup.send()
}

// run judges events until ctx ends.
//
// Then it judges the events that were never tried, until work ends.
func (w *worker) run(ctx, work context.Context) {
	jobs := make(chan appointment)
	var g sync.WaitGroup
	for range workers {
		g.Go(func() {
			for a := range jobs {
				w.try(work, a)
				w.tried(a)
			}
		})
	}
	for {
		a, wait, ok := w.next(time.Now(), ctx.Err() != nil)
		if ok {
			select {
			case jobs <- a:
				continue
			case <-work.Done():
			}
		}
		stop := ctx
		if ctx.Err() != nil {
			if stop = work; w.idle() || work.Err() != nil {
				break
			}
		}
		pause(stop, wait, w.wakeup)
	}
	close(jobs)
	g.Wait()
}

// tried ends a try and makes a held event of the same host due.
func (w *worker) tried(a appointment) {
	w.mu.Lock()
	host := a.host
	w.trying--
	if a.tries > 0 {
		w.retried--
	}
	w.busy[host]--
	n := min(len(w.held[host]), 1)
	if w.busy[host] == 0 {
		n = len(w.held[host])
		delete(w.busy, host)
	}
	for _, next := range w.held[host][:n] {
		heap.Push(&w.waiting, next)
	}
	if w.held[host] = w.held[host][n:]; len(w.held[host]) == 0 {
		delete(w.held, host)
	}
	w.mu.Unlock()
	w.wakeup.send()
}

// idle reports whether no event is being judged or waits for newer manifests.
func (w *worker) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trying == 0 && len(w.parked) == 0
}

// next removes and returns the next event that is due.
//
// If there is none, ok is false and wait is the time until there may be one. When
// draining, events that were tried before are left out.
func (w *worker) next(now time.Time, draining bool) (a appointment, wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > 0 {
		a := w.waiting[0]
		if a.due.After(now) {
			return a, a.due.Sub(now), false
		}
		if out := w.hosts[a.host]; out.until.After(now) {
			w.waiting[0].due = out.until
			heap.Fix(&w.waiting, 0)
			continue
		}
		heap.Pop(&w.waiting)
		if w.busy[a.host] >= hostWorkers {
			w.held[a.host] = append(w.held[a.host], a)
			continue
		}
		if draining && a.tries > 0 {
			w.retried--
			continue
		}
		w.trying++
		w.busy[a.host]++
		return a, 0, true
	}
	return a, time.Hour, false
}

// try judges one event.
func (w *worker) try(work context.Context, a appointment) {
	ctx, cancel := context.WithTimeout(work, judgeLimit)
	defer cancel()
	e, ok, err := w.store.Take(a.seq)
	if err == nil && !ok {
		return // it became a part of another event
	}
	var v verdict
	if err == nil {
		v, err = w.judge(ctx, e)
	}
	if err == nil {
		var fresh []record
		if _, fresh, err = w.store.Settle(a.seq, v); err == nil {
			if v.Found != (v1.Hash{}) {
				w.answered(a.host)
			}
			for _, r := range fresh {
				w.settled(r)
			}
			return
		}
	}
	if ok {
		err = errors.Join(err, w.store.Return(a.seq, e))
	}
	switch {
	case work.Err() != nil:
	case errors.Is(err, errStale):
		w.park(a)
	default:
		w.postpone(a, e, err)
	}
}

// park makes an event wait for newer manifests.
func (w *worker) park(a appointment) {
	w.mu.Lock()
	w.parked = append(w.parked, a)
	w.mu.Unlock()
	w.stale.send()
}

// unpark makes the events due that waited for newer manifests.
func (w *worker) unpark() {
	w.mu.Lock()
	for _, a := range w.parked {
		heap.Push(&w.waiting, a)
		if a.tries > 0 {
			w.retried++
		}
	}
	w.parked = nil
	w.mu.Unlock()
	w.wakeup.send()
}

// answered removes the outage of a host that was read.
func (w *worker) answered(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hosts, host)
}

// postpone schedules a retry of an event that could not be judged.
func (w *worker) postpone(a appointment, e event.Event, err error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	a.tries++
	a.due = now.Add(backoff(a.tries))
	heap.Push(&w.waiting, a)
	w.retried++
	defer w.wakeup.send() // it may be due before all others
	text := fmt.Sprintf("cannot judge %s of %s yet: %v", e.Action, e.Ref(), err)
	changed := text != w.trouble
	w.trouble = text
	if _, ok := errors.AsType[*unsettledError](err); ok { // as after every push, so that it is not logged
		return
	}
	if changed {
		defer w.warn(text)
	}
	if _, ok := errors.AsType[*manifestsError](err); ok {
		return
	}
	out := w.hosts[a.host]
	if !out.until.After(now) {
		out.tries++
		out.until = now.Add(backoff(out.tries))
		w.hosts[a.host] = out
	}
}

// backoff returns the delay after a number of failed tries.
func backoff(tries int) time.Duration {
	return min(firstBackoff<<min(tries-1, 20), lastBackoff)
}

// state returns the number of events to retry, and the last error.
func (w *worker) state() (retried int, trouble string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.retried == 0 {
		return 0, ""
	}
	return w.retried, w.trouble
}
