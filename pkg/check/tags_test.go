package check_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

func TestTags(t *testing.T) {
	t.Parallel()
	conflict := func(dst, digest, previous, tag string) plan.Item {
		it := item(plan.Conflict, dst, digest, tag)
		it.Previous = image.Hash(previous)
		return it
	}
	const of = "may not move (mutable-tags would allow it)\n"
	tests := map[string]struct {
		items []plan.Item
		want  string
	}{
		"none":               {[]plan.Item{item(plan.Copy, "prod/apple", digestA, "1.0"), item(plan.Move, "eu/apple", digestA, "latest")}, ""},
		"one":                {[]plan.Item{conflict("prod/apple", digestA, digestC, "latest")}, "m.yaml:9 error tag latest of prod/apple points to (c), not to (a), and " + of},
		"at two places":      {[]plan.Item{conflict("eu/apple", digestA, digestC, "1.0"), conflict("prod/apple", digestA, digestC, "1.0")}, "m.yaml:8 error tag 1.0 of eu/apple and prod/apple points to (c), not to (a), and " + of},
		"at different ones":  {[]plan.Item{conflict("eu/apple", digestA, digestC, "1.0"), conflict("prod/apple", digestA, digestB, "1.0")}, "m.yaml:8 error tag 1.0 of eu/apple points to (c), not to (a), and " + of + "m.yaml:8 error tag 1.0 of prod/apple points to (b), not to (a), and " + of},
		"of several":         {[]plan.Item{conflict("eu/apple", digestA, digestC, "1.0"), conflict("eu/apple", digestA, digestC, "latest")}, "m.yaml:8 error tag 1.0, latest of eu/apple points to (c), not to (a), and " + of},
		"missing is not one": {[]plan.Item{item(plan.Missing, "prod/apple", digestA, "1.0")}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t, plain("- name: apple\n  dmap:\n    \"(a)\": [\"1.0\",\n      latest]\n"))
			got := lines(check.Run(t.Context(), []check.Rule{check.Tags{}}, input(s, tc.items...)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
