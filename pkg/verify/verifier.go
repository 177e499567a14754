package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// inFlight is the number of images that are verified at a time. The requests of each one
// are sent one after the other, and the registry client has limits of its own.
const inFlight = 32

// Images looks up images in registries.
type Images interface {
	Resolve(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error)
	Has(ctx context.Context, repo name.Repository, digest v1.Hash) (inventory.State, error)
}

// Evidence reads what is attached to images, and verifies it.
type Evidence interface {
	// Attestations returns the attestations with a predicate type that are attached to a
	// digest, with the results of verifying their signatures.
	Attestations(ctx context.Context, repo name.Repository, digest v1.Hash, predicateType string) ([]provenance.Attestation, error)
	// Signed returns the verified signers of an image, and why signatures do not verify.
	Signed(ctx context.Context, repo name.Repository, digest v1.Hash) (signers []provenance.Identity, invalid []string, err error)
}

// Judge judges an image in a source by the policies that bind it.
type Judge interface {
	Image(ctx context.Context, source name.Repository, digest v1.Hash) provenance.Verdict
}

// Verifier verifies images.
type Verifier struct {
	Scope    *Scope
	Images   Images
	Evidence Evidence
	Judge    Judge    // nil: there are no manifests
	Commits  *Commits // nil: the manifests are not in a git repository, because of NoCommits
	Signers  []Signer // whose records count; there must be a record of each

	NoCommits        string
	RequireSignature bool
}

// Verify returns the chains of images, in order. It calls done after each one. The error
// is that of ctx.
func (v *Verifier) Verify(ctx context.Context, subjects []Subject, done func()) ([]Chain, error) {
	chains := make([]Chain, len(subjects))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for i := range subjects {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			chains[i] = v.verify(ctx, subjects[i])
			done()
			return ctx.Err()
		})
	}
	return chains, group.Wait()
}

// verify returns the chain of one image.
func (v *Verifier) verify(ctx context.Context, s Subject) Chain {
	c := Chain{Reference: s.Reference, Verdict: Intact}
	if err := v.settle(ctx, &s); err != nil {
		c.add(missing(KindRecord, "%v", err))
		return c
	}
	c.Digest = s.Digest.String()
	found := make([]evidence, 0, len(s.Homes))
	for _, h := range s.Homes {
		all, err := v.Evidence.Attestations(ctx, h.Repository, s.Digest, RecordType)
		found = append(found, evidence{h, all, err})
	}
	records := judgeRecords(&s, found, v.Signers)
	r := v.reason(&s, records.newest)
	c.add(records.link, judgeManifest(&s, records.newest, r))
	source, sources := judgeSource(&s, records.newest, r)
	c.add(source, judgeSignature(v.signatures(ctx, &s)))
	var verdicts []provenance.Verdict
	if v.Judge != nil {
		for _, repo := range sources {
			verdicts = append(verdicts, v.Judge.Image(ctx, repo, s.Digest))
		}
	}
	c.add(judgeProvenance(verdicts, v.Judge != nil)...)
	c.Notes = records.notes
	return c
}

// settle looks up a subject in its destination, and finds the homes of its records.
func (v *Verifier) settle(ctx context.Context, s *Subject) error {
	ref, digest, state, err := s.Repository.String(), s.Digest, inventory.Absent, error(nil)
	if s.Tag != "" {
		ref += ":" + s.Tag
		digest, state, err = v.Images.Resolve(ctx, s.Repository, s.Tag)
	} else {
		ref += "@" + digest.String()
		state, err = v.Images.Has(ctx, s.Repository, digest)
	}
	switch {
	case err != nil:
		return fmt.Errorf("reading %s: %w", ref, err)
	case state != inventory.Present:
		return fmt.Errorf("%s does not exist", ref)
	case s.Digest != (v1.Hash{}) && s.Digest != digest:
		return fmt.Errorf("%s has the digest %s", ref, digest)
	}
	if s.Homes == nil {
		v.Scope.Settle(s, digest)
	}
	return nil
}

// reason finds out why the manifests want an image.
func (v *Verifier) reason(s *Subject, rec *record) reason {
	if v.Scope.wanted == nil {
		return reason{}
	}
	r := reason{known: true, now: entryOf(v.Scope.wanted, s.Repository, s.Digest)}
	switch {
	case rec == nil:
		r.why = "current; no record names a commit"
	case rec.Manifest.Name == "":
		r.why = "current; the record names no manifest"
	case rec.Manifest.commit() == "":
		r.why = "current; the record names no commit"
	case v.Commits == nil:
		r.why = "current; commit " + rec.Manifest.commit() + " is not read: " + v.NoCommits
	default:
		r.commit = rec.Manifest.commit()
		r.then, r.err = v.Commits.Entry(r.commit, rec.Manifest.Name, rec.home.Repository, s.Digest)
	}
	return r
}

// signatures reads the signatures of an image, if they are required.
func (v *Verifier) signatures(ctx context.Context, s *Subject) signatures {
	f := signatures{required: v.RequireSignature}
	if !f.required {
		return f
	}
	var all []provenance.Identity
	var errs []error
	for _, h := range s.Homes {
		signers, wrong, err := v.Evidence.Signed(ctx, h.Repository, s.Digest)
		all, f.invalid, errs = append(all, signers...), append(f.invalid, wrong...), append(errs, err)
	}
	f.err = errors.Join(errs...)
	for _, signer := range v.Signers {
		if signer.matchesAny(all) {
			f.by = append(f.by, signer.Name)
		} else {
			f.absent = append(f.absent, signer.Name)
		}
	}
	return f
}
