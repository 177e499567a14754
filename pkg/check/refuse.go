package check

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// mostTold is how many findings an item's error names.
const mostTold = 3

// Refuse marks what findings forbid: every item of the plan that would write a
// digest that a finding is about, or what belongs to it. Digests that a rule could
// not judge are not promoted either.
func Refuse(p *plan.Plan, findings []Finding) {
	verdicts := map[v1.Hash][]Finding{}
	for _, f := range findings {
		if f.Level > Note && f.Image.Digest != (v1.Hash{}) {
			verdicts[f.Image.Digest] = append(verdicts[f.Image.Digest], f)
		}
	}
	for i := range p.Items {
		it := &p.Items[i]
		against := verdicts[it.Attached()]
		if len(against) == 0 || !it.Writes() {
			continue
		}
		it.Status, it.Error = plan.Failed, reason(against)
		for _, f := range against {
			if f.Level == Error {
				it.Status = plan.Refused
			}
		}
	}
}

func reason(findings []Finding) string {
	var texts []string
	for _, f := range findings[:min(len(findings), mostTold)] {
		texts = append(texts, f.Rule+": "+f.Message)
	}
	if more := len(findings) - mostTold; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more findings", more))
	}
	return strings.Join(texts, "; ")
}
