package check

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// maxNamed is the number of findings that the error of an item names.
const maxNamed = 3

// forbids reports whether findings of a rule are about the content of images to be
// promoted. Those of other rules are about files, or about items that the plan refuses.
func forbids(rule string) bool {
	return slices.ContainsFunc([]Rule{Size{}, Signature{}, Vulnerability{}, Provenance{}}, func(r Rule) bool { return r.Describe().Name == rule })
}

// Refuse refuses the items of a plan that would write a digest with a finding about its
// content, or a referrer of it. Digests that a rule could not check are not promoted either.
func Refuse(p *plan.Plan, findings []Finding) {
	verdicts := map[v1.Hash][]Finding{}
	for _, f := range findings {
		if (f.Level > Note || f.Old) && forbids(f.Rule) && f.Image.Digest != (v1.Hash{}) {
			verdicts[f.Image.Digest] = append(verdicts[f.Image.Digest], f)
		}
	}
	for i := range p.Items {
		it := &p.Items[i]
		against := slices.DeleteFunc(slices.Clone(verdicts[it.Attached()]), func(f Finding) bool { return !f.Image.concerns(it) })
		if len(against) == 0 || !it.Writes() {
			continue
		}
		it.Status, it.Error, it.Retryable = plan.Failed, reason(against), true
		for _, f := range against {
			if f.Level != Failed {
				it.Status = plan.Refused
			}
			it.Retryable = it.Retryable && f.Retryable
		}
	}
}

// concerns reports whether a finding about the image is one about an item of its digest.
//
// The same digest may be promoted from two sources, to other destinations, and be bound by
// a policy in only one of them. Referrers and evidence belong to the digest, wherever they are.
func (im *Image) concerns(it *plan.Item) bool {
	return it.Kind != 0 || len(im.Destinations) == 0 || slices.Contains(im.Destinations, it.Destination)
}

func reason(findings []Finding) string {
	var texts []string
	for _, f := range findings[:min(len(findings), maxNamed)] {
		texts = append(texts, f.Rule+": "+f.Message)
	}
	if more := len(findings) - maxNamed; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more findings", more))
	}
	return strings.Join(texts, "; ")
}
