package plan_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// TestEstimateOfEvidence is a minimum: nobody counts the requests for evidence and referrers.
func TestEstimateOfEvidence(t *testing.T) {
	t.Parallel()
	to := image.NewRepository("prod.example.com", "apple")
	for label, tc := range map[string]struct {
		item plan.Item
		want bool
	}{
		"an image":            {plan.Item{Action: plan.TagOnly, Tag: "v1", Status: plan.Planned}, false},
		"a referrer":          {plan.Item{Action: plan.Copy, Kind: plan.Referrer, Status: plan.Planned}, true},
		"evidence":            {plan.Item{Action: plan.Attest, Kind: plan.Evidence, Status: plan.Planned}, true},
		"evidence that fails": {plan.Item{Action: plan.Attest, Kind: plan.Evidence, Status: plan.Failed}, false},
	} {
		tc.item.Destination = to
		p := &plan.Plan{Items: []plan.Item{tc.item}}
		got := p.EstimateWrites(func(v1.Hash) plan.Weight { return plan.Weight{} }, func(name.Repository, int64) int { return 0 })
		if got["prod.example.com"].AtLeast != tc.want {
			t.Errorf("%s: got %+v, want a minimum: %t", label, got, tc.want)
		}
	}
}
