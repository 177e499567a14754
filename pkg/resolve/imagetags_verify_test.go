package resolve_test

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/resolve"
)

func TestVerifyChains(t *testing.T) {
	t.Parallel()
	v := resolve.VerifyChains(parse(t, `{"aliases": {"latest": "1", "stable": "1", "old": "none"}, "labels": {"1": {"version": "1.0"}}}`))
	if want := []string{"1"}; !slices.Equal(v.Ends, want) {
		t.Errorf("got ends %q, want %q", v.Ends, want)
	}
	if len(v.Faults) != 1 || !strings.Contains(v.Faults[0].Message, "none") {
		t.Errorf("got faults %v, want one about the tag none", v.Faults)
	}
	if got, want := v.Summary(), "3 tags, 1 set of labels."; got != want {
		t.Errorf("got summary %q, want %q", got, want)
	}
}

func TestVerifyImages(t *testing.T) {
	t.Parallel()
	v := resolve.VerifyChains(parse(t, `{"labels": {"1": {"version": "none"}}}`))
	steps := 0
	ref, err := resolve.ParseReference("r.example/app")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.VerifyImages(t.Context(), repository(), ref, func() { steps++ }); err != nil {
		t.Fatal(err)
	}
	if len(v.Faults) != 1 || !strings.HasPrefix(v.Faults[0].Message, `tag "1": `) || steps != 1 {
		t.Errorf("got faults %v after %d steps, want one about the tag 1 after 1 step", v.Faults, steps)
	}
	if got, want := v.Summary(), "1 tag, 1 set of labels: 0 of 1 identify exactly one image in r.example/app."; got != want {
		t.Errorf("got summary %q, want %q", got, want)
	}
}
