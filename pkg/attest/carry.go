package attest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// carriable returns the attestations that may be carried along with a subject: those that
// are attached to its digest, and that every policy accepts, if every policy is satisfied.
// Records and summaries are about the image in the source, and stay there.
func carriable(s *Subject, verdicts []provenance.Verdict) []*provenance.Attestation {
	var judgments []provenance.Judgment
	for _, v := range verdicts {
		judgments = append(judgments, v.Judgments...)
	}
	violated := func(j provenance.Judgment) bool { return len(j.Result.Violations) > 0 }
	if len(judgments) == 0 || slices.ContainsFunc(judgments, violated) {
		return nil
	}
	var out []*provenance.Attestation
	for _, a := range judgments[0].Result.Accepted {
		if mayCarry(a, s.Digest) && !slices.ContainsFunc(judgments[1:], func(j provenance.Judgment) bool { return !accepts(j.Result, a) }) {
			out = append(out, a)
		}
	}
	return out
}

func mayCarry(a *provenance.Attestation, digest v1.Hash) bool {
	return a.Referrer != (v1.Hash{}) && a.Statement != nil && a.Statement.PredicateType != RecordType && a.Statement.PredicateType != SummaryType &&
		a.Statement.Names(digest)
}

// accepts reports whether a policy accepts an attestation, in whichever source it is.
func accepts(r provenance.Result, a *provenance.Attestation) bool {
	return slices.ContainsFunc(r.Accepted, func(o *provenance.Attestation) bool { return o.Referrer == a.Referrer && o.Digest == a.Digest })
}

// planCarried plans the attestations to carry along.
func (w *Writer) planCarried(ctx context.Context, g *group, verdicts []provenance.Verdict) {
	s := g.of[0]
	var there []v1.Descriptor
	var unread error
	all := carriable(s, verdicts)
	if len(all) > 0 && !s.Absent {
		there, unread = w.o.Client.ReferrersOrTag(ctx, s.Repository, s.Digest)
	}
	for _, a := range all {
		from, ok := sourceOf(a, verdicts)
		if !ok || from == s.Repository || slices.ContainsFunc(there, func(d v1.Descriptor) bool { return d.Digest == a.Referrer }) {
			continue
		}
		if unread != nil {
			g.fail(plan.CarriedAttestation, s.Digest, unread)
			continue
		}
		m, err := w.o.Client.Manifest(ctx, from, a.Referrer.String())
		if err != nil {
			g.fail(plan.CarriedAttestation, s.Digest, fmt.Errorf("%s: %w", a.URI, err))
			continue
		}
		layers, why := carriedLayers(m, s.Digest, a)
		if why != "" {
			w.warn(fmt.Sprintf("leaving out the attestation %s: %s", a.URI, why))
			continue
		}
		p := g.add(plan.CarriedAttestation, s.Digest, func(ctx context.Context, _ []string) error {
			if err := w.findable(ctx, s.Repository, s.Digest); err != nil {
				return err
			}
			for _, d := range layers {
				if err := w.blobs.Blob(ctx, s.Repository, from, d); err != nil {
					return err
				}
			}
			return w.putReferrer(ctx, s.Repository, m)
		})
		p.item.From, p.item.Source = from, a.URI
	}
}

// sourceOf returns the source that an attestation is attached in.
func sourceOf(a *provenance.Attestation, verdicts []provenance.Verdict) (name.Repository, bool) {
	for _, v := range verdicts {
		if v.Repository.Digest(a.Referrer.String()).String() == a.URI {
			return v.Repository, true
		}
	}
	return name.Repository{}, false
}

// carriedLayers returns the blobs of a referrer, or why it is not carried: it must have the
// form that cosign writes, so that nothing else comes along.
func carriedLayers(m *registry.Manifest, subject v1.Hash, a *provenance.Attestation) (blobs []v1.Descriptor, why string) {
	var r referrer
	if err := json.Unmarshal(m.Raw, &r); err != nil {
		return nil, "it cannot be parsed"
	}
	_, empty := emptyConfig()
	switch {
	case m.MediaType != types.OCIManifestSchema1:
		return nil, "it is not an OCI image manifest"
	case r.ArtifactType != string(image.SigstoreBundle):
		return nil, "its artifact type is not that of a bundle"
	case r.Subject == nil || r.Subject.Digest != subject:
		return nil, "it refers to another subject"
	case r.Config.Digest != empty.Digest:
		return nil, "its config is not empty"
	case len(r.Layers) != 1 || r.Layers[0].MediaType != image.SigstoreBundle:
		return nil, "it does not have one layer, a bundle"
	case r.Layers[0].Digest != a.Digest:
		return nil, "its layer is not the bundle that was accepted"
	case r.Annotations[image.PredicateAnnotation] != "" && r.Annotations[image.PredicateAnnotation] != a.Statement.PredicateType:
		return nil, "its annotation names another predicate type than its statement"
	}
	return append(r.Layers, r.Config), ""
}
