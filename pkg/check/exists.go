package check

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
)

// Finder looks up digests that the plan did not need to look up.
type Finder interface {
	// Find returns whether a destination or one of its sources has a digest.
	Find(ctx context.Context, dst name.Repository, digest v1.Hash) (inventory.State, error)
}

// Exists finds wanted digests that are in no repository.
type Exists struct {
	Finder Finder
}

// Describe implements Rule.
func (Exists) Describe() Description {
	return Description{"exists", "a wanted digest is in neither source nor destination", Registries}
}

// Check implements Rule.
func (e Exists) Check(ctx context.Context, in *Input) []Finding {
	return append(e.missing(in), e.conflicting(ctx, in)...)
}

// missing returns a finding for each missing image of the plan, with all its destinations.
func (Exists) missing(in *Input) []Finding {
	type key struct {
		source string
		digest v1.Hash
	}
	var found []Finding
	at := map[key]int{}
	for it := range plan.Groups(in.Plan.Items) {
		if it.Action != plan.Missing || it.Kind != 0 {
			continue
		}
		k := key{it.SourceRef(), it.Digest}
		n, ok := at[k]
		if !ok {
			n = len(found)
			at[k] = n
			found = append(found, in.about(it).finding(Error, it.Error))
		}
		im := &found[n].Image
		im.add(it.Destination)
		if it.Digest != (v1.Hash{}) {
			found[n].Message = fmt.Sprintf("%s is not there, nor is the digest in %s", it.SourceRef(), list(im.Destinations))
		}
	}
	return found
}

// conflicting looks up the digests of tags that may not move. The plan does not look
// them up because it would not copy them.
func (e Exists) conflicting(ctx context.Context, in *Input) []Finding {
	type key struct {
		dst    name.Repository
		digest v1.Hash
	}
	known := map[key]struct{}{}
	for i := range in.Plan.Items {
		if it := &in.Plan.Items[i]; it.Action != plan.Conflict {
			known[key{it.Destination, it.Digest}] = struct{}{}
		}
	}
	var ask []Image
	for it := range plan.Groups(in.Plan.Items) {
		if _, ok := known[key{it.Destination, it.Digest}]; ok || it.Kind != 0 {
			continue
		}
		known[key{it.Destination, it.Digest}] = struct{}{}
		ask = append(ask, in.about(it))
	}
	return each(ctx, ask, func(ctx context.Context, im Image) []Finding {
		dst := im.Destinations[0]
		state, err := e.Finder.Find(ctx, dst, im.Digest)
		switch {
		case err != nil:
			return []Finding{im.unread(fmt.Sprintf("looking for %s: %v", im.Ref(), err), err)}
		case state == inventory.Absent:
			return []Finding{im.finding(Error, fmt.Sprintf("%s is not there, nor is the digest in %s", im.Ref(), dst))}
		}
		return nil
	})
}
