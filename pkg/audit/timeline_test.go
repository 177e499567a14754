package audit

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

func TestTimeline(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 30, 0, time.UTC)
	line := &timeline{minutes: map[int64]*minute{}}
	for _, r := range []record{
		{Verdict: verified, Judged: now.Add(-timelineSpan - time.Minute)},
		{Verdict: verified, Judged: now.Add(-48 * time.Hour)},
		{Verdict: rejected, Judged: now.Add(-time.Minute)},
		{Verdict: ignored, Judged: now.Add(-time.Minute - 20*time.Second)},
		{Verdict: rejected, Judged: now},
	} {
		line.add(r)
	}
	start := now.Truncate(time.Minute)
	old := minute{Time: start.Add(-48 * time.Hour), Verified: 1}
	fresh := []minute{{Time: start.Add(-time.Minute), Rejected: 1, Ignored: 1}, {Time: start, Rejected: 1}}
	for _, test := range []struct {
		name string
		from time.Time
		want []minute
	}{
		{"everything", time.Time{}, append([]minute{old}, fresh...)},
		{"from within a minute", now.Add(-time.Minute), fresh},
		{"from the future", now.Add(time.Hour), []minute{}},
	} {
		if diff := cmp.Diff(test.want, line.since(test.from, now)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, diff)
		}
	}
}

func TestTimelineQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t, registrytest.New(t), "  []\n")
	if status, text := r.get("/api/timeline?since=2026-01-02T03:04:05Z"); status != http.StatusOK || text != "[]\n" {
		t.Errorf("got %d %s, want 200 []", status, text)
	}
	if status, text := r.get("/api/timeline?since=yesterday"); status != http.StatusBadRequest {
		t.Errorf("got %d %s, want 400", status, text)
	}
}
