package audit

import (
	"sync"
	"time"
)

// timelineSpan is the time that the timeline covers: two days, of which one may have 25
// hours, since the page shows changes since yesterday.
const timelineSpan = 50 * time.Hour

// timeline counts verdicts by the minute, for the chart on the page.
type timeline struct {
	mu      sync.Mutex
	minutes map[int64]*minute
}

// minute has the numbers of verdicts in one minute.
type minute struct {
	Time     time.Time `json:"time"`
	Verified int       `json:"verified"`
	Rejected int       `json:"rejected"`
	Ignored  int       `json:"ignored"`
}

// newTimeline returns a timeline with a store's newest verdicts.
func newTimeline(s *store, now time.Time) (*timeline, error) {
	t := &timeline{minutes: map[int64]*minute{}}
	all, err := s.Verdicts(query{Since: now.Add(-timelineSpan), Limit: maxScanned})
	for _, r := range all {
		t.add(r)
	}
	return t, err
}

func (t *timeline) add(r record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := r.Judged.Truncate(time.Minute)
	m := t.minutes[at.Unix()]
	if m == nil {
		m = &minute{Time: at}
		t.minutes[at.Unix()] = m
	}
	switch r.Verdict {
	case verified:
		m.Verified++
	case rejected:
		m.Rejected++
	case ignored:
		m.Ignored++
	}
}

// since returns the minutes from a time on that have verdicts, in order.
//
// It drops the minutes that are older than the timeline.
func (t *timeline) since(from, now time.Time) []minute {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []minute{}
	first := now.Add(-timelineSpan).Truncate(time.Minute)
	for key := range t.minutes {
		if key < first.Unix() {
			delete(t.minutes, key)
		}
	}
	if from.After(first) {
		first = from.Truncate(time.Minute)
	}
	for at := first; !at.After(now); at = at.Add(time.Minute) {
		if m := t.minutes[at.Unix()]; m != nil {
			all = append(all, *m)
		}
	}
	return all
}
