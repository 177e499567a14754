package check

import (
	"context"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Tags finds wanted tags that point to another digest at a destination and may not move.
// It sends no request: the plan has read the destinations.
type Tags struct{}

// Describe implements Rule.
func (Tags) Describe() Description {
	return Description{"tags", "a wanted tag points to another digest at a destination and may not move", Registries}
}

// Check implements Rule. Destinations where the same tags point to the same digest share
// a finding.
func (Tags) Check(_ context.Context, in *Input) []Finding {
	type key struct {
		digest, previous v1.Hash
		tags             string
	}
	var found []Finding
	at := map[key]int{}
	for it := range plan.Groups(in.Plan.Items) {
		if it.Action != plan.Conflict || it.Kind != 0 {
			continue
		}
		k := key{it.Digest, it.Previous, strings.Join(it.Tags, ",")}
		n, ok := at[k]
		if !ok {
			n = len(found)
			at[k] = n
			im := in.about(it)
			im.Pos = in.tagPosition(it.Destination, it.Digest, it.Tags)
			found = append(found, im.finding(Error, ""))
		}
		im := &found[n].Image
		im.add(it.Destination)
		found[n].Message = fmt.Sprintf("%s of %s points to %s, not to %s, and may not move (mutable-tags would allow it)",
			tagList(it.Tags), list(im.Destinations), it.Previous.String(), it.Digest.String())
	}
	return found
}

// tagList returns the names of tags for a message, the first ones if there are many.
func tagList(tags []string) string {
	return "tag " + firsts(tags)
}
