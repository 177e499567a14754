package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// TaggedAttestations reads the attestations under cosign's tag and verifies them.
type TaggedAttestations interface {
	// Tagged returns the attestations of a digest, also those that do not verify.
	Tagged(ctx context.Context, repo name.Repository, digest v1.Hash) ([]provenance.Attestation, error)
}

// PresentProvenance finds images whose provenance under cosign's tag does not verify.
//
// Images without provenance are accepted, with a warning. Provenance of other signers does
// not count. Images of which a policy requires provenance are left to that policy.
type PresentProvenance struct {
	Read    TaggedAttestations
	Signers []Signer
}

// Describe implements Rule. It has the name of the rule for policies, which it stands in for.
func (PresentProvenance) Describe() Description { return Provenance{}.Describe() }

// Check implements Rule.
func (p PresentProvenance) Check(ctx context.Context, in *Input) []Finding {
	policies := in.Set.Policies()
	images := in.perSource(func(source name.Repository) bool {
		return !slices.ContainsFunc(policies.Of(source), func(b provenance.Bound) bool { return b.Mode == provenance.Require })
	})
	var found []Finding
	var without []Image
	for _, r := range each(ctx, images, p.judge) {
		if r.none {
			without = append(without, r.Image)
		} else {
			found = append(found, r.Finding)
		}
	}
	if len(without) == 0 {
		return found
	}
	refs := make([]string, len(without))
	for i := range without {
		refs[i] = without[i].sourceRef()
	}
	text := fmt.Sprintf("images without provenance of %s: %s", p.Signers[0].Name, firsts(refs))
	return append(found, Finding{Level: Note, Warning: true, Pos: without[0].Pos, Message: text})
}

// presence is what is wrong with the provenance of an image, or that it has none.
type presence struct {
	Finding
	none bool
}

// judge judges the provenance of one image. The result is empty if it is good.
func (p PresentProvenance) judge(ctx context.Context, im Image) []presence {
	all, err := p.Read.Tagged(ctx, im.Source, im.Digest)
	if err != nil {
		return []presence{{Finding: im.unread(fmt.Sprintf("reading the provenance of %s: %v", im.sourceRef(), err), err)}}
	}
	none := true
	for i := range all {
		a := &all[i]
		switch {
		case a.Statement != nil && a.Statement.PredicateType != provenance.ProvenanceV1:
		case a.State != provenance.Verified:
			return []presence{{Finding: im.finding(Error, fmt.Sprintf("the provenance of %s does not verify: %s", im.sourceRef(), a.Reason))}}
		default:
			none = none && !slices.ContainsFunc(p.Signers, func(by Signer) bool { return by.Matches(a.Signer) })
		}
	}
	if none {
		return []presence{{im.finding(Note, ""), true}}
	}
	return nil
}
