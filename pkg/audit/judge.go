package audit

import (
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/audit/event"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// reading says what must be read before a verdict.
type reading int

const (
	nothing      reading = iota // nothing: the manifests decide
	theTag                      // the tag: it must point to the wanted digest
	theSource                   // a source tag, which has the wanted digest
	theDigest                   // the wanted digest: it must be there
	theRelations                // image manifests: the digest may be a child or a referrer of a wanted one
	attached                    // an attached tag: it must belong to a wanted digest
	theWhole                    // the whole repository: all that it holds must be wanted
)

// question is what the manifests leave open about an event.
type question struct {
	read    reading
	want    v1.Hash // theTag
	subject v1.Hash // attached
	suffix  string  // attached: cosign's, or empty for a list of referrers
}

// attachedTo parses a tag that promotions copy with a digest.
//
// The tag has the list of referrers of the digest or is one of cosign's tags.
func attachedTo(tag string) (subject v1.Hash, suffix string, ok bool) {
	subject, suffix, ok = image.Attached(tag)
	return subject, suffix, ok && subject != (v1.Hash{}) && (suffix == "" || slices.Contains(image.CosignSuffixes(), suffix))
}

// unwantedRepository is the reason to reject a push to an unknown repository.
const unwantedRepository = "no manifest wants anything in this repository"

// consider compares an event with the manifests, without the registry.
//
// It returns a verdict or, if the manifests leave the verdict open, a question. What
// an event says is enough to reject it, since the sender reports a change that must
// not happen. It is never enough to verify it.
func (r *rules) consider(e event.Event) (verdict, question) {
	v := verdict{Event: e, Outcome: rejected, Commit: r.Commit}
	ours := r.inDestination(e.Repository)
	switch {
	case !ours && e.Repository == (name.Repository{}):
		v.Outcome, v.Reason = ignored, "names no repository: "+e.Fault
	case !ours:
		v.Outcome, v.Reason = ignored, "not in one of the destinations"
		if _, named := r.hosts[e.Repository.RegistryStr()]; !named { // the registry may not know its own name
			v.Reason += ": no manifest names host " + e.Repository.RegistryStr()
		}
	case e.Action == event.Delete:
		v.Reason = "deleting from a destination is never allowed"
	case e.Action != event.Push:
		v.Outcome, v.Reason = ignored, "neither a push nor a deletion"
	case e.Fault != "":
		v.Reason = "malformed: " + e.Fault
	case e.Tag == "" && e.Digest == (v1.Hash{}) && r.wanted.Target(e.Repository) == nil:
		v.Reason = unwantedRepository
	case e.Tag == "" && e.Digest == (v1.Hash{}):
		return v, question{read: theWhole}
	case e.Tag != "":
		return r.considerTag(v)
	case r.wanted.Entry(e.Repository, e.Digest) != nil:
		return v, question{read: theDigest}
	default:
		return v, question{read: theRelations}
	}
	return v, question{}
}

// considerTag compares the push of a tag with the manifests.
func (r *rules) considerTag(v verdict) (verdict, question) {
	e := v.Event
	want := r.tagged(e.Repository, e.Tag)
	subject, suffix, belongs := attachedTo(e.Tag)
	switch {
	case want != nil && e.Digest != (v1.Hash{}) && e.Digest != want.Digest:
		v.Reason = fmt.Sprintf("%s wants %s under this tag", r.pos(e.Repository, want.Digest, e.Tag), want.Digest)
	case want != nil:
		return v, question{read: theTag, want: want.Digest}
	case len(r.retags(e.Repository, e.Tag)) > 0:
		return v, question{read: theSource}
	case belongs && r.wanted.Target(e.Repository) != nil:
		return v, question{read: attached, subject: subject, suffix: suffix}
	case r.wanted.Target(e.Repository) == nil:
		v.Reason = unwantedRepository
	case e.Digest != (v1.Hash{}) && r.wanted.Entry(e.Repository, e.Digest) != nil:
		v.Reason = fmt.Sprintf("%s wants this digest, but not under this tag", r.pos(e.Repository, e.Digest, ""))
	default:
		v.Reason = "no manifest wants this tag here"
	}
	return v, question{}
}
