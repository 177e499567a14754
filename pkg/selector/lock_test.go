package selector_test

import (
	"fmt"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

func TestFind(t *testing.T) {
	t.Parallel()
	tagged := func(name, tag string) *selector.Selector {
		return &selector.Selector{Name: name, Select: selector.Select{Tag: tag}}
	}
	lock := func(s *selector.Selector, tag string) selector.Lock {
		return selector.Lock{Name: s.Name, Intent: s.Intent(), Tag: tag}
	}
	a, changed, again := tagged("a", "1"), tagged("a", "2"), tagged("a", "3")
	many := []*selector.Selector{a}
	for i := range 2000 {
		many = append(many, tagged(fmt.Sprint("many", i), "1"))
	}
	for name, tc := range map[string]struct {
		entries, suspended []*selector.Selector
		locked             []selector.Lock
		want               string // tag of the lock; empty: none
		unowned            int
	}{
		"no lock":                  {entries: []*selector.Selector{a}},
		"same intent":              {entries: []*selector.Selector{a, again}, locked: []selector.Lock{lock(again, "x"), lock(a, "y")}, want: "y"},
		"changed intent":           {entries: []*selector.Selector{a}, locked: []selector.Lock{lock(changed, "x")}, want: "x", unowned: 1},
		"another name":             {entries: []*selector.Selector{a}, locked: []selector.Lock{lock(tagged("b", "1"), "x")}, unowned: 1},
		"two of unknown selectors": {entries: []*selector.Selector{a}, locked: []selector.Lock{lock(changed, "x"), lock(again, "y")}, unowned: 2},
		"one is of another entry":  {entries: []*selector.Selector{a, again}, locked: []selector.Lock{lock(changed, "x"), lock(again, "y")}, want: "x", unowned: 1},
		"one is suspended":         {entries: []*selector.Selector{a}, suspended: []*selector.Selector{again}, locked: []selector.Lock{lock(again, "y")}},
		"many selectors":           {entries: many, locked: []selector.Lock{lock(changed, "x")}, want: "x", unowned: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &selector.File{Entries: tc.entries, Suspended: tc.suspended, Locked: tc.locked}
			got := ""
			if l := f.Find(a); l != nil {
				got = l.Tag
			}
			if got != tc.want {
				t.Errorf("got the lock with tag %q, want %q", got, tc.want)
			}
			if n := len(f.Unowned()); n != tc.unowned {
				t.Errorf("got %d unowned locks, want %d", n, tc.unowned)
			}
		})
	}
}
