package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// inFlight is the number of images that are verified at a time. The requests of each one
// are sent one after the other, and the registry client has limits of its own.
const inFlight = 32

// Verifier verifies images.
type Verifier struct {
	Scope    *Scope
	Images   *registry.Client
	Records  *evidence.Reader // what is attached to images in destinations
	Policies *evidence.Reader // what policies judge
	Commits  *Commits         // nil: the manifests are not in a git repository, because of NoCommits
	Signers  []check.Signer   // whose records count; there must be a record of each

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
	c.Digest, c.Subject = s.Digest.String(), s
	found := make([]reading, 0, len(s.Homes))
	for _, h := range s.Homes {
		all, err := v.Records.Attestations(ctx, h.Repository, s.Digest, attest.RecordType)
		found = append(found, reading{h, all, err})
	}
	records := judgeRecords(&s, found, v.Signers)
	r := v.reason(&s, records.newest)
	c.add(records.link, judgeManifest(&s, records.newest, r))
	source, sources := judgeSource(&s, records.newest, r)
	c.add(source, judgeSignature(v.signatures(ctx, &s)))
	var verdicts []judged
	for _, repo := range sources {
		verdicts = append(verdicts, v.judge(ctx, &s, repo))
	}
	c.add(judgeProvenance(verdicts, r.known)...)
	c.Notes = records.notes
	return c
}

// settle looks up a subject in its destination, and finds the homes of its records.
func (v *Verifier) settle(ctx context.Context, s *Subject) error {
	ref, digest := s.Repository.String(), s.Digest
	var state inventory.State
	var err error
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
	case rec.Manifest.Commit == "":
		r.why = "current; the record names no commit"
	case v.Commits == nil:
		r.why = "current; commit " + rec.Manifest.Commit + " is not read: " + v.NoCommits
	default:
		r.commit = rec.Manifest.Commit
		r.then, r.err = v.Commits.Entry(r.commit, rec.Manifest.Name, rec.home.Repository, s.Digest)
	}
	return r
}

// judge judges an image by the policies of a source. Sources keep images for a limited time.
// If this one has lost the image, evidence that was carried to the destination counts: its
// signatures name the digest.
func (v *Verifier) judge(ctx context.Context, s *Subject, source name.Repository) judged {
	policies := v.Scope.policies.Of(source)
	if len(policies) == 0 {
		return judged{}
	}
	first := v.judgeBy(ctx, policies, source, s.Digest)
	if first.satisfied() {
		return first
	}
	if state, err := v.Images.Has(ctx, source, s.Digest); err != nil || state != inventory.Absent {
		return first
	}
	for _, h := range s.Homes {
		if again := v.judgeBy(ctx, policies, h.Repository, s.Digest); again.satisfied() {
			again.source, again.copies = source, h.Repository.String()
			return again
		}
	}
	return first
}

// judgeBy judges an image by the evidence in a repository.
func (v *Verifier) judgeBy(ctx context.Context, policies []provenance.Bound, repo name.Repository, digest v1.Hash) judged {
	return judged{source: repo, judgments: provenance.Judgments(policies, v.Policies.Gather(ctx, repo, digest))}
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
		signers, wrong, err := v.Records.Signed(ctx, h.Repository, s.Digest)
		all, f.invalid, errs = append(all, signers...), append(f.invalid, wrong...), append(errs, err)
	}
	f.err = errors.Join(errs...)
	for _, signer := range v.Signers {
		if slices.ContainsFunc(all, signer.Matches) {
			f.by = append(f.by, signer.Name)
		} else {
			f.absent = append(f.absent, signer.Name)
		}
	}
	return f
}

// Tags returns what source tags of retag entries point to.
func Tags(ctx context.Context, images *registry.Client, tags []plan.SourceTag) map[plan.SourceTag]plan.Resolution {
	found := make([]plan.Resolution, len(tags))
	var group errgroup.Group
	group.SetLimit(inFlight)
	for i, t := range tags {
		group.Go(func() error {
			found[i].Digest, found[i].State, found[i].Err = images.Resolve(ctx, t.Repository, t.Tag)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	all := make(map[plan.SourceTag]plan.Resolution, len(tags))
	for i, t := range tags {
		all[t] = found[i]
	}
	return all
}
