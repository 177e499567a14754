package provenance

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// maxReasons is the number of attestations, and of platforms, whose faults a violation
// lists. An image may have many that were made by strangers.
const maxReasons = 5

// Judge returns whether the evidence about an image satisfies an enabled policy.
//
// An index satisfies it by provenance of its own. If there is none about it, good or bad,
// all its platforms must satisfy the policy, each by its own attestations.
func Judge(b Bound, e *Evidence) Result {
	if err := e.unreadable(); err != nil {
		return Result{Violations: []string{because("its evidence cannot be read", err.Error())}}
	}
	own, found := b.judge(e, e.about())
	if !e.Index {
		return own
	}
	if found {
		b.Want = 0 // binds the index, whose provenance decides
	}
	for i := range e.Platforms {
		p := &e.Platforms[i]
		result := Result{Violations: []string{fmt.Sprintf("its evidence is of %s, want %s", quote(p.Repository.Name()), quote(e.Repository.Name()))}}
		if p.Repository.Name() == e.Repository.Name() {
			result, _ = b.judge(p, p.attached())
		}
		own.Platforms = append(own.Platforms, PlatformResult{p.Digest, result})
	}
	if found {
		return own
	}
	return own.throughPlatforms()
}

// Judgments returns the result of each of several policies.
func Judgments(bound []Bound, e *Evidence) []Judgment {
	all := make([]Judgment, len(bound))
	for i, b := range bound {
		all[i] = Judgment{b, Judge(b, e)}
	}
	return all
}

// unreadable returns why the evidence of the image or one of its platforms is not known.
func (e *Evidence) unreadable() error {
	if e.Err != nil {
		return e.Err
	}
	for _, p := range e.Platforms {
		if p.Err != nil {
			return fmt.Errorf("platform %s: %w", p.Digest, p.Err)
		}
	}
	return nil
}

// attached returns the attestations that are attached to the image.
func (e *Evidence) attached() []*Attestation {
	all := make([]*Attestation, len(e.Attestations))
	for i := range e.Attestations {
		all[i] = &e.Attestations[i]
	}
	return all
}

// about returns the attestations that are attached to the image, and those that are
// attached to its platforms and name it.
func (e *Evidence) about() []*Attestation {
	all := e.attached()
	if !e.Index {
		return all
	}
	for i := range e.Platforms {
		for _, a := range e.Platforms[i].attached() {
			if a.Statement != nil && a.Statement.Names(e.Digest) {
				all = append(all, a)
			}
		}
	}
	return all
}

// judge compares the attestations about an image with the policy. It reports whether
// provenance is among them.
func (b Bound) judge(e *Evidence, attestations []*Attestation) (r Result, found bool) {
	var f findings
	for _, a := range attestations {
		f.add(b, e, a)
	}
	r = Result{Level: f.level, Accepted: f.accepted}
	switch {
	case f.candidates == 0:
		r.violate(e.none(attestations))
	case !f.passed:
		r.violate("no provenance of it is accepted: " + some(f.rejected))
	case f.level < b.Want:
		r.violate(fmt.Sprintf("it has level %d, want %d by levels: %s", f.level, b.Want, some(append(f.lower, f.rejected...))))
	}
	for _, t := range b.PredicateTypes {
		if !slices.ContainsFunc(r.Accepted, func(a *Attestation) bool { return a.Statement.PredicateType == t }) {
			r.violate(fmt.Sprintf("it has no accepted attestation of type %s", quote(t)))
		}
	}
	return r, f.candidates > 0
}

func (r *Result) violate(violation string) {
	r.Violations = append(r.Violations, image.Clip(violation, maxViolation))
}

// findings are what attestations about an image amount to.
type findings struct {
	accepted   []*Attestation
	candidates int      // attestations that are provenance, good or bad
	passed     bool     // provenance is accepted
	level      int      // the highest of accepted provenance
	rejected   []string // reasons, of provenance alone
	lower      []string // reasons why accepted provenance has not a higher level
}

// add adds an attestation.
func (f *findings) add(b Bound, e *Evidence, a *Attestation) {
	// A statement that cannot be read may be provenance.
	candidate := a.Statement == nil || a.Statement.isProvenance()
	if candidate {
		f.candidates++
	}
	fault, signers := b.fault(e, a)
	switch {
	case fault != "" && candidate:
		f.rejected = append(f.rejected, e.label(a)+": "+fault)
	case fault != "":
	case !candidate:
		f.accepted = append(f.accepted, a)
	default:
		t := b.try(a, signers)
		reason := e.label(a) + ": " + b.reason(t)
		if !t.passed {
			f.rejected = append(f.rejected, reason)
			return
		}
		f.accepted = append(f.accepted, a)
		f.lower = append(f.lower, reason)
		f.passed, f.level = true, max(f.level, t.level)
	}
}

// fault says why an attestation does not count for the policy, whatever it states. Without
// a fault it returns the policy's signers that match its signer.
func (b Bound) fault(e *Evidence, a *Attestation) (fault string, signers []string) {
	repository, _, ok := e.place(a)
	switch {
	case !ok:
		return fmt.Sprintf("it is in %s, want %s", quote(repository), quote(e.Repository.Name())), nil
	case a.State == Unsigned:
		return because("it is not signed", a.Reason), nil
	case a.State == Unverifiable:
		return because("its signature cannot be verified", a.Reason), nil
	case a.State != Verified:
		return because("it is not valid", a.Reason), nil
	case a.Statement == nil:
		return because("its statement is invalid", a.Reason), nil
	}
	signers = b.matching(a.Signer)
	if len(signers) == 0 {
		return fmt.Sprintf("it is signed by %s, want %s", a.Signer, listSigners(b.Signers)), nil
	}
	if !a.Statement.Names(e.Digest) {
		return subjectFault(a.Statement, e.Digest), nil
	}
	return "", signers
}

// place returns the repository of an attestation and its reference there, and whether the
// repository is the one of the image.
func (e *Evidence) place(a *Attestation) (repository, reference string, ok bool) {
	if rest, ok := strings.CutPrefix(a.URI, e.Repository.Name()); ok && rest != "" && (rest[0] == '@' || rest[0] == ':') {
		return e.Repository.Name(), rest[1:], true
	}
	return a.URI, a.URI, false
}

// throughPlatforms returns the result of an index without provenance of its own.
func (r Result) throughPlatforms() Result {
	if len(r.Platforms) == 0 {
		return r
	}
	var reasons []string
	all := Result{Level: maxLevel, Accepted: r.Accepted, Platforms: r.Platforms}
	for _, p := range r.Platforms {
		all.Level = min(all.Level, p.Result.Level)
		for _, a := range p.Result.Accepted {
			if !slices.Contains(all.Accepted, a) {
				all.Accepted = append(all.Accepted, a)
			}
		}
		if len(p.Result.Violations) > 0 {
			reasons = append(reasons, p.Digest.String()+": "+strings.Join(p.Result.Violations, ", "))
		}
	}
	if len(reasons) > 0 {
		all.Level = 0
		all.violate("it has no provenance of its own, and not all its platforms satisfy the policy: " + some(reasons))
	}
	return all
}
