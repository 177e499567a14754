package plan_test

import (
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func TestActions(t *testing.T) {
	t.Parallel()
	want := map[plan.Action]struct {
		writes, refused bool
		status          plan.Status
	}{
		plan.Copy:       {true, false, plan.Planned},
		plan.TagOnly:    {true, false, plan.Planned},
		plan.Move:       {true, false, plan.Planned},
		plan.Conflict:   {false, true, plan.Refused},
		plan.Missing:    {false, true, plan.Refused},
		plan.Invalid:    {false, true, plan.Refused},
		plan.Unreadable: {false, false, plan.Failed},
		plan.Existing:   {false, false, plan.Done},
		plan.Attest:     {true, false, plan.Planned},
	}
	for a, w := range want {
		if a.Writes() != w.writes || a.Refused() != w.refused || a.Status() != w.status {
			t.Errorf("%s: got writes %t, refused %t, status %s, want %+v", a, a.Writes(), a.Refused(), a.Status(), w)
		}
	}
	if got := plan.NumActions - 1; got != len(want) {
		t.Errorf("got %d actions, want %d", got, len(want))
	}
	if plan.Action(0).Writes() {
		t.Error("the zero action: got a write, want none")
	}
}
