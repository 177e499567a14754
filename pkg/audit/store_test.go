package audit

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

func testStore(t *testing.T, file string) *store {
	t.Helper()
	s, err := openStore(file, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func someEvent(id string) event.Event {
	return event.Event{ID: id, Source: "zot", Action: event.Push, Repository: image.NewRepository("r.example.com", "prod/a"), Tag: "t" + id, Received: time.Now().UTC()}
}

func TestStoreSurvives(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.db")
	s := testStore(t, file)
	added, fresh, err := s.Enqueue([]event.Event{someEvent("1"), someEvent("2"), someEvent("1")})
	if err != nil || len(added) != 2 || fresh != 2 {
		t.Fatalf("got %d added, %d fresh and error %v, want 2 and 2", len(added), fresh, err)
	}
	if _, _, err := s.Settle(added[0].Seq, verdict{Event: added[0].Event, Outcome: rejected, Reason: "so"}); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(file, true); err == nil {
		t.Error("got no error for a store in use, want one")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = testStore(t, file)
	var waiting []string
	if err := s.EachPending(func(w waitingEvent) { waiting = append(waiting, w.Event.ID) }); err != nil {
		t.Fatal(err)
	}
	if s.Pending() != 1 || len(waiting) != 1 || waiting[0] != "2" {
		t.Errorf("waiting: got %d, %q, want event 2", s.Pending(), waiting)
	}
	if all, err := s.Verdicts(query{Limit: 10}); err != nil || len(all) != 1 || all[0].ID != "1" || all[0].Verdict != rejected {
		t.Errorf("got verdicts %+v and error %v, want the rejection of event 1", all, err)
	}
	if key, _ := s.firstAlert(); key == nil {
		t.Error("got no alert, want one")
	}
	if added, _, err := s.Enqueue([]event.Event{someEvent("1"), someEvent("2")}); err != nil || len(added) != 0 {
		t.Errorf("sent again: got %d added and error %v, want none", len(added), err)
	}
	if r, fresh, err := s.Settle(0, verdict{Event: someEvent("1"), Outcome: verified}); err != nil || len(fresh) != 0 || r.Verdict != rejected {
		t.Errorf("judged again: got %+v, %v and error %v, want the first verdict", r, fresh, err)
	}
}

func TestStoreFull(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	s.maxPending = 100
	const share = 90
	for n := range share {
		if _, _, err := s.Enqueue([]event.Event{someEvent(fmt.Sprint(n))}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Enqueue([]event.Event{someEvent("one more")}); !errors.Is(err, errFull) {
		t.Errorf("one event more of a host: got %v, want %v", err, errFull)
	}
	elsewhere := someEvent("elsewhere")
	elsewhere.Repository = image.NewRepository("other.example.com", elsewhere.Repository.RepositoryStr())
	if _, _, err := s.Enqueue([]event.Event{elsewhere}); err != nil {
		t.Errorf("an event of another host: got %v, want room for it", err)
	}
	if s.Pending() != share+1 {
		t.Errorf("%d wait, want %d", s.Pending(), share+1)
	}
}

// A flood of ignored events does not remove rejections.
func TestStoreKeepsRejected(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	settle := func(id string, o outcome) {
		if _, _, err := s.Settle(0, verdict{Event: someEvent(id), Outcome: o}); err != nil {
			t.Error(err)
		}
	}
	settle("rejected", rejected)
	const limit = 500
	s.limits[ignored] = limit
	todo, done := make(chan int), make(chan struct{})
	for range 100 {
		go func() {
			for i := range todo {
				settle(fmt.Sprint(i), ignored)
			}
			done <- struct{}{}
		}()
	}
	for i := range limit + 1000 {
		todo <- i
	}
	close(todo)
	for range 100 {
		<-done
	}
	settle("last", ignored)
	if n := int(s.counts[ignored].Load()); n > limit+250 {
		t.Errorf("ignored verdicts: got %d, want %d at most", n, limit)
	}
	all, err := s.Verdicts(query{Outcomes: []outcome{rejected}, Limit: 10})
	if err != nil || len(all) != 1 {
		t.Errorf("got %d rejections and error %v, want 1", len(all), err)
	}
	if all, err := s.Verdicts(query{Limit: 1}); err != nil || all[0].ID != "last" {
		t.Errorf("newest verdict: got %+v and error %v, want that on the last event", all, err)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	s := testStore(t, "")
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	outcomes := []outcome{verified, rejected, ignored}
	for i := range 9 {
		e := someEvent(fmt.Sprint(i))
		if i%2 == 1 {
			e.Source = "acr"
		}
		v := verdict{Event: e, Outcome: outcomes[i%3], Reason: "Because " + e.ID, Judged: begin.Add(time.Duration(i) * time.Minute)}
		if _, _, err := s.Settle(0, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		query query
		want  string
	}{
		{"all", query{Limit: 100}, "[8 7 6 5 4 3 2 1 0]"},
		{"limit", query{Limit: 2}, "[8 7]"},
		{"before", query{Limit: 2, Before: 8}, "[6 5]"},
		{"before the first", query{Limit: 2, Before: 1}, "[]"},
		{"before beyond the last", query{Limit: 2, Before: 100}, "[8 7]"},
		{"after", query{Limit: 100, After: 7}, "[8 7]"},
		{"outcome", query{Limit: 100, Outcomes: []outcome{rejected}}, "[7 4 1]"},
		{"outcomes", query{Limit: 100, Outcomes: []outcome{rejected, verified}, Before: 8}, "[6 4 3 1 0]"},
		{"source", query{Limit: 100, Source: "acr"}, "[7 5 3 1]"},
		{"text", query{Limit: 100, Text: "because 3"}, "[3]"},
		{"tag", query{Limit: 100, Text: "prod/a:t4"}, "[4]"},
		{"since", query{Limit: 100, Since: begin.Add(6 * time.Minute)}, "[8 7 6]"},
		{"until", query{Limit: 100, Until: begin.Add(2 * time.Minute)}, "[2 1 0]"},
	} {
		all, err := s.Verdicts(test.query)
		if err != nil {
			t.Errorf("%s: got error %v, want none", test.name, err)
		}
		got := []string{}
		for _, r := range all {
			got = append(got, r.ID)
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}
