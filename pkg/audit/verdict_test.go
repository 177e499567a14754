package audit

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
)

// The text of senders is stored as it was sent, and escaped where it is printed.
func TestTextIsEscapedWherePrinted(t *testing.T) {
	t.Parallel()
	const actor = "a\x1b[31m\u202eb"
	v := verdict{Event: event.Event{Source: "zot", Action: event.Push, Actor: actor}, Outcome: rejected, Reason: actor}
	r := v.record()
	if r.Actor != actor || r.Reason != actor || !strings.Contains(r.Text, actor) {
		t.Errorf("record: got %q, want the text %q as it was sent", []string{r.Actor, r.Reason, r.Text}, actor)
	}
	w := httptest.NewRecorder()
	writeJSON(w, 200, r)
	raw := w.Body.String()
	if strings.ContainsAny(raw, "\x1b\u202e") {
		t.Errorf("JSON: got %q, want no hidden characters", raw)
	}
	var back record
	if err := json.Unmarshal([]byte(raw), &back); err != nil || back.Actor != actor {
		t.Errorf("JSON: got actor %q and error %v, want %q", back.Actor, err, actor)
	}
	w = httptest.NewRecorder()
	answer(w, 200, r.Text)
	if text := w.Body.String(); strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("answer: got %q, want no hidden characters", text)
	}
}
