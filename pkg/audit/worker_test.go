package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// work runs a worker in fake time until check returns.
func work(t *testing.T, events []event.Event, judge func(context.Context, event.Event) (verdict, error), check func(w *worker, settled chan record)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := openStore("", false)
		if err != nil {
			t.Fatal(err)
		}
		settled := make(chan record, len(events))
		w, err := newWorker(s, judge, func(r record) { settled <- r }, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.run(ctx, t.Context()); close(done) }()
		for i := range events {
			events[i].Received = time.Now()
		}
		added, _, err := s.Enqueue(events)
		if err != nil {
			t.Fatal(err)
		}
		w.add(added)
		check(w, settled)
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkerTriesAgain(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	judge := func(_ context.Context, e event.Event) (verdict, error) {
		if tries.Add(1) < 6 {
			return verdict{}, &unsettledError{"not yet"}
		}
		return verdict{Event: e, Outcome: verified}, nil
	}
	work(t, []event.Event{someEvent("1")}, judge, func(w *worker, settled chan record) {
		began := time.Now()
		<-settled
		// 250, 500, 1000, 2000 and 4000 milliseconds, and the time that the store takes
		if took := time.Since(began); tries.Load() != 6 || took < 7750*time.Millisecond || took > 8*time.Second {
			t.Errorf("got %d tries in %s, want 6 in 7.75s to 8s", tries.Load(), took)
		}
	})
}

// A host that does not answer is tried rarely, and does not delay other hosts.
func TestWorkerWaitsForDeadHosts(t *testing.T) {
	t.Parallel()
	var events []event.Event
	for i := range 1000 {
		events = append(events, someEvent(fmt.Sprint(i)))
	}
	alive := someEvent("alive")
	alive.Repository = image.NewRepository("alive.example.com", "a")
	events = append(events, alive)
	var tries atomic.Int64
	judge := func(ctx context.Context, e event.Event) (verdict, error) {
		if e.Repository == alive.Repository {
			return verdict{Event: e, Outcome: verified}, nil
		}
		tries.Add(1)
		<-ctx.Done() // a host that drops packets
		return verdict{}, errors.New("timed out")
	}
	work(t, events, judge, func(w *worker, settled chan record) {
		began := time.Now()
		if r := <-settled; r.ID != "alive" || time.Since(began) > time.Second {
			t.Errorf("got a verdict on event %s after %s, want event alive within 1s", r.ID, time.Since(began))
		}
		time.Sleep(10 * time.Minute)
		if n := tries.Load(); n > 20*workers {
			t.Errorf("tries of a dead host: got %d, want %d at most", n, 20*workers)
		}
		if n, trouble := w.state(); n == 0 || trouble == "" {
			t.Errorf("got %d retried and error %q, want both", n, trouble)
		}
	})
}

func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := openStore("", false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var events []event.Event
		for i := range 500 {
			events = append(events, someEvent(fmt.Sprint(i)))
		}
		if _, _, err := s.Enqueue(events); err != nil {
			t.Fatal(err)
		}
		judge := func(_ context.Context, e event.Event) (verdict, error) {
			if e.ID == "7" {
				return verdict{}, &unsettledError{"never"}
			}
			return verdict{Event: e, Outcome: ignored}, nil
		}
		var settled atomic.Int64
		w, err := newWorker(s, judge, func(record) { settled.Add(1) }, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.run(ctx, t.Context())
		if settled.Load() != 499 || s.Pending() != 1 {
			t.Errorf("got %d settled and %d waiting, want 499 and 1", settled.Load(), s.Pending())
		}
	})
}

// No event is lost if equal ones arrive while one is judged, fails and is put back.
func TestWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	const n, senders = 2000, 20
	var tries atomic.Int64
	judge := func(_ context.Context, e event.Event) (verdict, error) {
		time.Sleep(time.Millisecond)
		if tries.Add(1)%3 != 0 {
			return verdict{}, &unsettledError{"not yet"}
		}
		return verdict{Event: e, Outcome: verified}, nil
	}
	first := equal(0, n)
	work(t, first[:1], judge, func(w *worker, settled chan record) {
		records := make(chan record, n)
		go func() {
			for r := range settled {
				records <- r
			}
		}()
		defer close(settled)
		var g sync.WaitGroup
		for sender := range senders {
			g.Go(func() {
				for i := sender; i < n; i += senders {
					e := first[i]
					e.Tag, e.Received = fmt.Sprint("t", i%3), time.Now()
					added, _, err := w.store.Enqueue([]event.Event{e})
					if err != nil {
						t.Error(err)
					}
					w.add(added)
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		g.Wait()
		time.Sleep(time.Hour)
		ids := map[string]int{}
		for len(records) > 0 {
			ids[(<-records).ID]++
		}
		// event 0 was sent twice with one id: with the tag t and with the tag t0
		if len(ids) != n || ids["0"] != 2 || w.store.Pending() != 0 {
			t.Errorf("got verdicts on %d events, %d on the first, %d waiting, want %d, 2, 0", len(ids), ids["0"], w.store.Pending(), n)
		}
	})
}
