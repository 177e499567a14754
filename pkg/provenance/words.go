package provenance

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// Lengths of text of others in violations, in bytes. A certificate or a statement may have
// any, and a violation goes into reports and comments.
const (
	maxValue     = 200
	maxReason    = 600
	maxViolation = 2000
	maxList      = 3 // values
)

// quote returns a value of others for a message.
func quote(s string) string { return strconv.Quote(image.Clip(s, maxValue)) }

// plain returns a sentence of others for a message, without line breaks and control characters.
func plain(s string, most int) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, image.Clip(s, most))
}

// because appends a reason, if there is one.
func because(text, reason string) string {
	if reason == "" {
		return text
	}
	return text + ": " + plain(reason, maxReason)
}

// some returns the first reasons, and how many more there are.
func some(reasons []string) string {
	var b strings.Builder
	for i, r := range reasons {
		if i == maxReasons {
			fmt.Fprintf(&b, "; and %d more", len(reasons)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(image.Clip(r, maxReason))
	}
	return b.String()
}

// list returns the first values, and how many more there are; "nothing" without values.
func list(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	var quoted []string
	for _, v := range values[:min(maxList, len(values))] {
		quoted = append(quoted, quote(v))
	}
	text := strings.Join(quoted, " or ")
	if more := len(values) - maxList; more > 0 {
		text += fmt.Sprintf(" or %d more", more)
	}
	return text
}

func listBuilders(builders []*Builder) string {
	var ids []string
	for _, b := range builders {
		ids = append(ids, b.ID)
	}
	return list(ids)
}

func listSigners(signers []Signer) string {
	var specs []string
	for _, s := range signers {
		specs = append(specs, s.Spec)
	}
	return list(specs)
}

// listSubjects returns the digests of a statement's subjects.
func listSubjects(subjects []Subject, algorithm string) string {
	var digests []string
	for _, s := range subjects {
		if hex, ok := s.Digest[algorithm]; ok {
			digests = append(digests, algorithm+":"+hex)
		}
	}
	return list(digests)
}

// String returns the identity for a message.
func (id Identity) String() string {
	if id.Key != "" {
		return "the key " + quote(id.Key)
	}
	return quote(id.SAN) + " of " + quote(id.Issuer)
}

// label returns the name of an attestation for messages: its digest or tag.
func (e *Evidence) label(a *Attestation) string {
	_, reference, _ := e.place(a)
	return plain(reference, maxValue)
}

// none says that there is no provenance among attestations.
func (e *Evidence) none(attestations []*Attestation) string {
	var types []string
	for _, a := range attestations {
		types = append(types, a.Statement.PredicateType)
	}
	text := fmt.Sprintf("it has no provenance: found %s, want an attestation of type %s or %s", list(types), ProvenanceV1, ProvenanceV02)
	if len(e.Notes) > 0 {
		text += "; not read: " + some(e.Notes)
	}
	return text
}

func subjectFault(s *Statement, digest v1.Hash) string {
	return fmt.Sprintf("it is about %s, want %s", listSubjects(s.Subjects, digest.Algorithm), digest)
}
