package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// noManifests is why links are not checked if the user gives no manifests.
const noManifests = "no manifests are given"

// reason is why the manifests want a digest.
type reason struct {
	known  bool   // there are manifests to compare with
	now    *Entry // of the current manifests; nil: none wants it
	then   *Entry // of the commit that the record names
	commit string // that was read; empty: none, because of why
	why    string
	err    error // the commit could not be read, or is not in the clone
}

// judgeManifest judges whether manifests want a digest: those of the record's commit, and
// the current ones.
func judgeManifest(s *Subject, rec *record, r reason) Link {
	switch {
	case !r.known && rec != nil && rec.Manifest.Name != "":
		return notChecked(KindManifest, "%s; the record names %s", noManifests, named(rec.Manifest))
	case !r.known:
		return notChecked(KindManifest, noManifests)
	case r.now == nil:
		return missing(KindManifest, "not wanted any more: no manifest wants the digest in %s", s.Repository)
	case s.Tag != "" && !slices.Contains(r.now.Tags, s.Tag):
		return invalid(KindManifest, "%s wants the digest in %s, but not under the tag %s", r.now.Pos, s.Repository, s.Tag)
	case r.err != nil:
		return missing(KindManifest, "%v", r.err)
	case r.commit == "":
		return good(KindManifest, "%s (%s)", r.now.Pos, r.why)
	case r.then == nil:
		return invalid(KindManifest, "%s in commit %s does not want the digest in the destination of the record", rec.Manifest.Name, r.commit)
	}
	return good(KindManifest, "%s in commit %s", r.then.Pos, r.commit)
}

// named returns the manifest that a record names.
func named(m attest.File) string {
	if m.Commit != "" {
		return m.Name + " in commit " + m.Commit
	}
	return m.Name
}

// judgeSource judges whether the record's source is that of the manifest. It also
// returns the source repositories whose policies apply.
func judgeSource(s *Subject, rec *record, r reason) (Link, []name.Repository) {
	var wanted, judged []name.Repository
	if r.now != nil {
		wanted, judged = r.now.Sources, slices.Clone(r.now.Sources)
	}
	if r.then != nil {
		wanted = r.then.Sources
	}
	if rec == nil || rec.Source == (name.Repository{}) {
		why := "the record names no source"
		if rec == nil {
			why = "no record names a source"
		}
		switch {
		case len(wanted) == 0:
			return notChecked(KindSource, "%s", why), judged
		case rec == nil:
			return notChecked(KindSource, "%s; it is %s in the manifests", why, references(wanted, s)), judged
		}
		return good(KindSource, "%s (of the current manifests: %s)", references(wanted, s), why), judged
	}
	if !slices.Contains(judged, rec.Source) {
		judged = append(judged, rec.Source)
	}
	from := rec.Source.Digest(s.Digest.String()).String()
	switch {
	case len(wanted) == 0 && r.known:
		return notChecked(KindSource, "the record names %s, and no manifest wants it", from), judged
	case len(wanted) == 0:
		return notChecked(KindSource, "%s; the record names %s", noManifests, from), judged
	case !slices.Contains(wanted, rec.Source):
		return invalid(KindSource, "the record names %s, the manifest %s", from, references(wanted, s)), judged
	}
	return good(KindSource, "%s", from), judged
}

// references returns the references of the digest in repositories.
func references(repos []name.Repository, s *Subject) string {
	var texts []string
	for _, r := range repos {
		texts = append(texts, r.Digest(s.Digest.String()).String())
	}
	return list(texts)
}

// judged are the results of the policies of a source.
type judged struct {
	source    name.Repository
	copies    string // where the evidence was read, if the source has lost the image; else empty
	judgments []provenance.Judgment
}

// satisfied reports whether no policy is violated.
func (v judged) satisfied() bool {
	return !slices.ContainsFunc(v.judgments, func(j provenance.Judgment) bool { return len(j.Result.Violations) > 0 })
}

// judgeProvenance returns one link for each policy that applies.
func judgeProvenance(verdicts []judged, known bool) []Link {
	if !known {
		return []Link{notChecked(KindProvenance, "%s: their policies are unknown", noManifests)}
	}
	var links []Link
	for _, v := range verdicts {
		for _, j := range v.judgments {
			links = append(links, judgment(v, j))
		}
	}
	if len(links) == 0 {
		links = append(links, notChecked(KindProvenance, "no policy applies"))
	}
	return links
}

// judgment returns the link of one policy. A policy that only warns does not break the
// chain: its promotion was right.
func judgment(v judged, j provenance.Judgment) Link {
	policy := fmt.Sprintf("policy %s, %s", j.Policy.Pos, v.source)
	if v.copies != "" {
		policy += " (which has lost the image; by the evidence in " + v.copies + ")"
	}
	violations := j.Result.Violations
	switch {
	case len(violations) == 0:
		return good(KindProvenance, "%s: satisfied, build level %d", policy, j.Result.Level)
	case j.Policy.Mode == provenance.Warn:
		return notChecked(KindProvenance, "%s: not satisfied, and its mode is warn: %s", policy, list(violations))
	}
	return invalid(KindProvenance, "%s: not satisfied: %s", policy, list(violations))
}

// signatures is what was found about the signatures of an image itself.
type signatures struct {
	required bool
	by       []string // names of signers with a valid signature
	absent   []string // names of signers without one
	invalid  []string // why signatures do not verify
	err      error    // they could not be read
}

// judgeSignature judges whether everyone who must have signed the image did so.
func judgeSignature(f signatures) Link {
	switch {
	case !f.required:
		return notChecked(KindSignature, "not required (--require-signature)")
	case len(f.absent) == 0:
		return good(KindSignature, "signed by %s", strings.Join(f.by, " and "))
	case len(f.invalid) > 0:
		return invalid(KindSignature, "no signature of %s verifies: %s", list(f.absent), list(f.invalid))
	case f.err != nil:
		return missing(KindSignature, "reading the signatures: %v", f.err)
	}
	return missing(KindSignature, "no signature of %s", list(f.absent))
}
