package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Items that differ only in their tags are a group.
func TestGroups(t *testing.T) {
	t.Parallel()
	item := func(repo string, n int, tag string, change ...func(*plan.Item)) plan.Item {
		it := plan.Item{Action: plan.Copy, Status: plan.Done, Destination: image.NewRepository("d.example", repo), Digest: digest(n), Tag: tag}
		for _, f := range change {
			f(&it)
		}
		return it
	}
	failed := func(it *plan.Item) { it.Status, it.Error = plan.Failed, "no" }
	moved := func(it *plan.Item) { it.Action, it.Previous = plan.Move, digest(9) }
	tests := map[string]struct {
		items []plan.Item
		want  []string
	}{
		"nothing":                 {nil, nil},
		"one tag":                 {[]plan.Item{item("a", 1, "x")}, []string{"a 1 x"}},
		"no tag":                  {[]plan.Item{item("a", 1, "")}, []string{"a 1 "}},
		"several tags":            {[]plan.Item{item("a", 1, "z"), item("a", 1, "x"), item("a", 1, "y")}, []string{"a 1 x,y,z"}},
		"with and without a tag":  {[]plan.Item{item("a", 1, ""), item("a", 1, "x")}, []string{"a 1 ", "a 1 x"}},
		"twice without a tag":     {[]plan.Item{item("a", 1, ""), item("a", 1, "")}, []string{"a 1 ", "a 1 "}},
		"other digests and names": {[]plan.Item{item("a", 1, "x"), item("a", 2, "y"), item("b", 2, "z")}, []string{"a 1 x", "a 2 y", "b 2 z"}},
		"other outcomes":          {[]plan.Item{item("a", 1, "w"), item("a", 1, "x", failed), item("a", 1, "y"), item("a", 1, "z", failed)}, []string{"a 1 w,y", "a 1 x,z failed"}},
		"other actions":           {[]plan.Item{item("a", 1, "w", moved), item("a", 1, "x"), item("a", 1, "y", moved)}, []string{"a 1 x", "a 1 w,y move"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slices.SortFunc(tc.items, plan.Compare)
			var got []string
			for g := range plan.Groups(tc.items) {
				line := fmt.Sprintf("%s %s %s", g.Destination.RepositoryStr(), strings.TrimLeft(g.Digest.Hex, "0"), strings.Join(g.Tags, ","))
				if g.Status == plan.Failed {
					line += " failed"
				}
				if g.Action == plan.Move {
					line += " move"
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
