package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/load"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/verify"
)

// repair writes the evidence that images lack.
type repair struct {
	*verification
	options attest.Options
	wrote   map[digestAt][]string // names of what was written
	failed  bool
}

// digestAt is a digest in a repository.
type digestAt struct {
	repo   name.Repository
	digest v1.Hash
}

// prepareRepair makes the signers of --confirm. A signer that is not usable, or whose evidence
// would not count afterwards, ends the run before anything is written.
func (v *verification) prepareRepair(ctx context.Context) error {
	if v.set == nil {
		return errors.New("--confirm requires --manifest or --thin-manifest-dir: evidence is written of what they want")
	}
	v.records, v.signatures = true, v.signature
	if err := v.attestOptions.check(); err != nil {
		return err
	}
	at, err := v.location()
	if err != nil {
		return err
	}
	commit, err := load.Commit(v.path())
	if err != nil {
		v.log.Debugf("the summaries name no git commit: %v", err)
	}
	roots, err := v.roots()
	if err != nil {
		return err
	}
	options := v.attestOptions.options(v.session, at, commit)
	if err := v.sign(ctx, v.session, roots, &options); err != nil {
		return err
	}
	if id := options.Signer.Expected(); !slices.ContainsFunc(v.verifier.Signers, func(s check.Signer) bool { return s.Matches(id) }) {
		return fmt.Errorf("the signer is %s, and its records would not count: see --signature-key and --certificate-identity", id)
	}
	v.repair = &repair{verification: v, options: options, wrote: map[digestAt][]string{}}
	return nil
}

// connect connects what reads and writes evidence.
func (r *repair) connect(client *registry.Client, recorders *evidence.Trust, records, policies *evidence.Reader) {
	r.options.Client, r.options.Reader, r.options.Trust = client, records, recorders
	r.options.Judge = evidence.NewJudge(r.set.Policies(), policies)
}

// run writes what chains lack, and returns them as they are afterwards. Records are written
// only where there is none: a later one names no manifest. Nothing vouches for an image that
// a policy refuses: only its summary says so. It stops writing when ctx ends.
func (r *repair) run(ctx context.Context, chains []verify.Chain) ([]verify.Chain, error) {
	var lacking, others, refused []verify.Subject
	for i := range chains {
		c := &chains[i]
		switch {
		case c.Lacks(verify.KindProvenance):
			refused = append(refused, c.Subject)
		case c.Lacks(verify.KindRecord):
			lacking = append(lacking, c.Subject)
		case r.summaries, c.Lacks(verify.KindSignature):
			others = append(others, c.Subject)
		}
	}
	all := r.options
	for _, part := range []struct {
		subjects            []verify.Subject
		records, signatures bool
	}{{lacking, true, all.Signatures}, {others, false, all.Signatures}, {refused, false, false}} {
		o := all
		o.Records, o.Signatures = part.records, part.signatures
		if err := r.write(ctx, part.subjects, o); err != nil {
			return nil, err
		}
	}
	return r.again(ctx, chains)
}

// write writes the evidence that subjects lack.
func (r *repair) write(ctx context.Context, subjects []verify.Subject, o attest.Options) error {
	promoted := r.verifier.Scope.Promoted(subjects, manifest.ReferrersAccepted)
	if len(promoted) == 0 {
		return nil
	}
	w := attest.NewWriter(o)
	planned := w.Plan(ctx, promoted)
	r.writeEvidence(ctx, planned, promoted)
	for _, it := range planned.Items() {
		r.note(it)
	}
	for _, text := range planned.Warnings() {
		r.warn(text)
	}
	return w.Close()
}

// note logs and keeps the outcome of one piece of evidence.
func (r *repair) note(it plan.Item) {
	ref := it.Destination.Digest(it.Digest.String()).String()
	if it.Status != plan.Done {
		r.failed = true
		r.log.Error(ref + ": " + it.Error)
		return
	}
	at := digestAt{it.Destination, it.Attached()}
	r.wrote[at] = append(r.wrote[at], it.What.String())
	r.log.Infof("wrote the %s of %s", it.What, ref)
}

// again verifies the chains of which something was written.
func (r *repair) again(ctx context.Context, chains []verify.Chain) ([]verify.Chain, error) {
	var changed []int
	var subjects []verify.Subject
	wrote := map[int][]string{}
	for i := range chains {
		s := chains[i].Subject
		for _, h := range s.Homes {
			wrote[i] = append(wrote[i], r.wrote[digestAt{h.Repository, s.Digest}]...)
		}
		if len(wrote[i]) > 0 {
			changed, subjects = append(changed, i), append(subjects, s)
		}
	}
	fresh, err := r.verifier.Verify(ctx, subjects, func() {})
	if err != nil {
		return nil, err
	}
	for n, i := range changed {
		chains[i] = fresh[n]
		for _, what := range wrote[i] {
			chains[i].Notes = append(chains[i].Notes, "written now: "+what)
		}
	}
	return chains, nil
}
