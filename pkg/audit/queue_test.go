package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// equal returns n equal events with different ids.
func equal(from, n int) []event.Event {
	var all []event.Event
	for i := range n {
		e := someEvent(fmt.Sprint(from + i))
		e.Tag = "t"
		all = append(all, e)
	}
	return all
}

func TestEqualEventsWaitAsOne(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	s.maxParts = 5
	added, fresh, err := s.Enqueue(equal(0, 3))
	if err != nil || len(added) != 1 || fresh != 3 || s.pending.Load() != 1 {
		t.Fatalf("got %d to judge, %d new, %d waiting, %v, want 1, 3, 1", len(added), fresh, s.pending.Load(), err)
	}
	if got, want := s.Pending(), 3; got != want {
		t.Errorf("got %d events that wait, want %d", got, want)
	}
	if added, fresh, err := s.Enqueue(equal(2, 1)); err != nil || len(added) != 0 || fresh != 0 {
		t.Errorf("sent again: got %d to judge, %d new, %v, want none", len(added), fresh, err)
	}
	if added, fresh, err := s.Enqueue(equal(3, 10)); err != nil || len(added) != 0 || fresh != 10 || s.pending.Load() != 1 {
		t.Errorf("ten more: got %d to judge, %d new, %d waiting, %v, want 0, 10, 1", len(added), fresh, s.pending.Load(), err)
	}
	if got, want := s.dropped.events.Load(), int64(13-1-s.maxParts); got != want {
		t.Errorf("got %d events dropped, want %d", got, want)
	}
	r, all, err := s.Settle(added[0].Seq, verdict{Event: added[0].Event, Outcome: rejected})
	if err != nil || r.ID != "0" || len(all) != 1+s.maxParts || s.pending.Load() != 0 || s.parts.Load() != 0 {
		t.Errorf("got %d verdicts, the first on %s, %d waiting with %d parts, %v, want %d, 0, 0, 0", len(all), r.ID, s.pending.Load(), s.parts.Load(), err, 1+s.maxParts)
	}
	for i, e := range equal(0, 1+s.maxParts) {
		if known, ok := s.Known(e); !ok || known.ID != fmt.Sprint(i) || known.Verdict != rejected {
			t.Errorf("event %d: got %+v, %v, want a verdict of its own", i, known, ok)
		}
	}
}

// Equal events that arrive while one is being judged need a judgement of their own.
func TestTakenEventsGetNoParts(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	first, _, err := s.Enqueue(equal(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	taken, ok, err := s.Take(first[0].Seq)
	if err != nil || !ok {
		t.Fatalf("got %v, %v, want the event", ok, err)
	}
	second, _, err := s.Enqueue(equal(1, 2))
	if err != nil || len(second) != 1 || s.pending.Load() != 2 {
		t.Fatalf("got %d to judge, %d waiting, %v, want 1, 2", len(second), s.pending.Load(), err)
	}
	if err := s.Return(first[0].Seq, taken); err != nil {
		t.Fatal(err)
	}
	if s.pending.Load() != 1 {
		t.Errorf("after the first could not be judged: got %d waiting, want 1", s.pending.Load())
	}
	if _, ok, err := s.Take(second[0].Seq); ok || err != nil {
		t.Errorf("the second: got %v, %v, want that it waits no longer", ok, err)
	}
	if err := s.Return(second[0].Seq, second[0].Event); err != nil || s.pending.Load() != 1 || s.Pending() != 3 {
		t.Errorf("the second, taken before that: got %d waiting as %d, %v, want 3 as 1", s.Pending(), s.pending.Load(), err)
	}
	if _, fresh, err := s.Settle(second[0].Seq, verdict{Event: second[0].Event, Outcome: verified}); err != nil || len(fresh) != 0 {
		t.Errorf("a verdict on what waits no longer: got %+v, %v, want none", fresh, err)
	}
	if _, _, err := s.Enqueue(equal(3, 1)); err != nil || s.pending.Load() != 1 {
		t.Errorf("one more: got %d waiting, %v, want 1", s.pending.Load(), err)
	}
	if _, fresh, err := s.Settle(first[0].Seq, verdict{Event: first[0].Event, Outcome: rejected}); err != nil || len(fresh) != 4 {
		t.Errorf("got verdicts %+v, %v, want 4", fresh, err)
	}
}

// An endless flood of equal events does not delay the verdict.
func TestEqualEventsDoNotDelayTheVerdict(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	events := equal(0, 3)
	began := events[0].Received
	events[1].Received = began.Add(10 * time.Second)
	events[2].Received = began.Add(10 * time.Hour)
	added, _, err := s.Enqueue(events[:2])
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Time{began.Add(10 * time.Second), began.Add(sameSpan)} {
		e, _, err := s.Take(added[0].Seq)
		if err != nil || !e.Received.Equal(want) {
			t.Errorf("try %d: got an event of %s, %v, want %s", i, e.Received, err, want)
		}
		e.Received = began
		if err := s.Return(added[0].Seq, e); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Enqueue(events[2:]); err != nil {
			t.Fatal(err)
		}
	}
}

// Equal events that wait survive a restart.
func TestEqualEventsSurvive(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/audit.db"
	s := testStore(t, file)
	if _, _, err := s.Enqueue(equal(0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = testStore(t, file)
	added, fresh, err := s.Enqueue(equal(2, 2))
	if err != nil || len(added) != 0 || fresh != 1 || s.pending.Load() != 1 {
		t.Errorf("got %d to judge, %d new, %d waiting, %v, want 0, 1, 1", len(added), fresh, s.pending.Load(), err)
	}
	judged := make(chan record, 10)
	judge := func(_ context.Context, e event.Event) (verdict, error) {
		return verdict{Event: e, Outcome: verified}, nil
	}
	w, err := newWorker(s, judge, func(r record) { judged <- r }, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.run(ctx, t.Context())
	if got, want := len(judged), 4; got != want {
		t.Errorf("got %d verdicts, want %d", got, want)
	}
}

// A full store removes rejections after all other verdicts.
func TestRejectionsAreRemovedLast(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	s.limits = map[outcome]int64{verified: 3, rejected: 3, ignored: 3, repeated: 3}
	n := 0
	settle := func(tag string, o outcome) {
		t.Helper()
		e := someEvent(fmt.Sprint(n))
		e.Tag = tag
		n++
		if _, _, err := s.Settle(0, verdict{Event: e, Outcome: o}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(o outcome) string {
		t.Helper()
		all, err := s.Verdicts(query{Outcomes: []outcome{o}, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var tags []string
		for _, r := range all {
			tags = append(tags, r.Tag)
		}
		return strings.Join(tags, " ")
	}
	check := func(when, wantRejected, wantVerified, wantIgnored string) {
		t.Helper()
		for o, want := range map[outcome]string{rejected: wantRejected, verified: wantVerified, ignored: wantIgnored} {
			if got := kept(o); got != want {
				t.Errorf("%s: %s: got %q, want %q", when, o, got, want)
			}
		}
	}
	settle("first", rejected)
	for i := range 5 {
		settle(fmt.Sprint("v", i), verified)
		settle(fmt.Sprint("i", i), ignored)
		settle("again", rejected)
	}
	check("each kind has room", "again again again again first", "v4 v3 v2", "i4 i3 i2")
	for i := range 4 {
		settle(fmt.Sprint("r", i), rejected)
	}
	check("repeats go first", "r3 r2 r1 r0 again first", "v4 v3 v2", "i4 i3 i2")
	for i := range 6 {
		settle(fmt.Sprint("s", i), rejected)
	}
	check("then all others", "s5 s4 s3 s2 s1 s0 r3 r2 r1 r0 again first", "", "")
	settle("v5", verified)
	settle("s6", rejected)
	check("the oldest last", "s6 s5 s4 s3 s2 s1 s0 r3 r2 r1 r0 again", "", "")
	if got := s.dropped.verdicts.Load(); got == 0 {
		t.Errorf("got %d verdicts dropped, want them counted", got)
	}
}

// If there is no room for alerts, one alert counts the rest.
func TestWaitingAlertsAreKept(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	s.maxAlerts = 3
	for i, tag := range []string{"real", "real", "a", "b", "c", "d", "real", "e"} {
		e := someEvent(fmt.Sprint(i))
		e.Tag = tag
		if _, _, err := s.Settle(0, verdict{Event: e, Outcome: rejected}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for key, raw := s.firstAlert(); key != nil; key, raw = s.firstAlert() {
		var a alert
		if err := json.Unmarshal(raw, &a); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(a.Verdict.Tag, " ", a.Alerts))
		if err := s.sent(key, raw); err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 { // another alert about this event may be added now
			if _, _, err := s.Settle(0, verdict{Event: equal(100, 1)[0], Outcome: rejected}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := []string{"real 0", "a 0", "b 0", "t 4"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got alerts %q, want %q", got, want)
	}
	if n, left := s.dropped.alerts.Load(), s.outgoing.Load(); n != 4 || left != 0 {
		t.Errorf("got %d alerts dropped, %d left, want 4, 0", n, left)
	}
}

// Dropped events of a flood are counted and logged.
func TestDropsAreLogged(t *testing.T) {
	t.Parallel()
	reg := registrytest.New(t)
	apple := registrytest.Image(1, 1)
	r := newRig(t, reg, entry("apple", apple.Digest, "1.0")) // it is not there, so that its events wait
	r.auditor.store.maxParts = 10
	body := func(n int) string {
		var events []string
		for i := range n {
			one := distributionBody(fmt.Sprint("event-", i), "push", reg.Host, "prod/apple", "1.0", apple.Digest)
			events = append(events, strings.TrimSuffix(strings.TrimPrefix(one, `{"events":[`), `]}`))
		}
		return `{"events":[` + strings.Join(events, ",") + `]}`
	}
	if status, text := r.post("/events/distribution", body(1000)); status != 202 {
		t.Fatalf("got %d %s, want 202", status, text)
	}
	if got := r.auditor.store.pending.Load(); got > 1 {
		t.Errorf("got %d events waiting, want 1", got)
	}
	if _, text := r.get("/metrics"); !strings.Contains(text, `cip_audit_dropped_total{what="event"} 989`+"\n") {
		t.Errorf("/metrics: got %s\nwant 989 dropped events", text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := strings.Join(r.warnings, "\n"); !strings.Contains(text, "989 events that are equal") {
		t.Errorf("got warnings %q, want one of 989 dropped events", text)
	}
}
