package check

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// Signatures reads signatures and verifies them.
type Signatures interface {
	// Signatures returns the signatures that a repository holds of a digest, those
	// that cost least first. What cannot be read comes as an error.
	Signatures(ctx context.Context, repo name.Repository, digest v1.Hash) iter.Seq2[provenance.Signature, error]
}

// Signer is somebody whose signature an image must have.
type Signer struct {
	Name    string // for messages
	Matches func(provenance.Identity) bool
}

// Signature finds images that one of the signers has not signed.
type Signature struct {
	Read    Signatures
	Signers []Signer // one signature of each is enough

	// IfPresent accepts images without a signature. A signature under cosign's tag must
	// be valid and of a signer, and so must a bundle that names one.
	IfPresent bool
}

// Describe implements Rule.
func (Signature) Describe() Description {
	return Description{"signature", "an image about to be promoted has no valid signature", Registries}
}

// Check implements Rule.
func (s Signature) Check(ctx context.Context, in *Input) []Finding {
	return each(ctx, in.Images, s.judge)
}

// judge looks for a valid signature of each signer.
func (s Signature) judge(ctx context.Context, im Image) []Finding {
	var unread, wrong []string
	var causes []error
	missing := slices.Clone(s.Signers)
	for _, repo := range append([]name.Repository{im.From}, im.Also...) {
		for a, err := range s.Read.Signatures(ctx, repo, im.Digest) {
			if err != nil {
				unread, causes = append(unread, fmt.Sprintf("reading signatures in %s: %v", repo, err)), append(causes, err)
				continue
			}
			if s.IfPresent && a.Bundle && !s.concerned(a) {
				continue
			}
			if a.Invalid != "" {
				wrong = append(wrong, a.Where+": "+a.Invalid)
				continue
			}
			before := len(missing)
			missing = slices.DeleteFunc(missing, func(by Signer) bool { return by.Matches(a.By) })
			if len(missing) == 0 {
				return nil
			}
			if len(missing) == before {
				wrong = append(wrong, a.Where+": "+fmt.Sprintf("it was made by %s", a.By))
			}
		}
	}
	ref := im.sourceRef() // what has to be signed
	if unread != nil {
		return []Finding{im.unread(ref+": "+strings.Join(unread, "; "), causes...)}
	}
	if s.IfPresent && wrong == nil {
		return nil
	}
	text := fmt.Sprintf("%s carries no signature", ref)
	if len(s.Signers) > 1 {
		text += " of " + missing[0].Name
	}
	if wrong != nil {
		text += " that verifies: " + strings.Join(wrong, "; ")
	}
	return []Finding{im.finding(Error, text)}
}

// concerned reports whether a signature is of a signer, or would be if it were valid.
func (s Signature) concerned(a provenance.Signature) bool {
	id := a.By
	if a.Invalid != "" {
		id = a.Claims
	}
	return slices.ContainsFunc(s.Signers, func(by Signer) bool { return by.Matches(id) })
}
