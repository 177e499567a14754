package output

import (
	"fmt"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Problem is an item that was refused or has failed.
type Problem struct {
	Action plan.Action
	Text   string // the destination and the reason, in one line
}

// Problems returns the items of a plan that were refused or have failed. A fault of the
// manifests is not repeated for each destination.
func Problems(p *plan.Plan) []Problem {
	reported := map[string]struct{}{}
	for _, f := range p.Faults {
		reported[f.String()], reported[f.Message] = struct{}{}, struct{}{}
	}
	var all []Problem
	for it := range plan.Groups(p.Items) {
		if it.Status != plan.Refused && it.Status != plan.Failed {
			continue
		}
		if _, ok := reported[it.Error]; ok && it.Action == plan.Invalid {
			continue
		}
		where := it.Destination.Digest(image.DigestString(it.Digest)).String()
		if len(it.Tags) > 0 {
			where = it.Destination.Tag(strings.Join(it.Tags, ",")).String()
		}
		all = append(all, Problem{it.Action, fmt.Sprintf("%s %s: %s", it.Action, where, it.Error)})
	}
	return all
}
