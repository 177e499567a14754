// Package attest makes evidence about promoted images and writes it next to them.
//
//	Record, Summary ─ Statement ─▶ statement ─ Signer ─▶ bundle
//	Subjects of a plan ─ Writer.Plan ─▶ Evidence, with an item for each piece
//	Evidence ─ Run ─▶ the same items, with their outcome
//
// A record says what was promoted, from where, for which manifest and by which job. A
// verification summary says which policies the image satisfied. Both are signed bundles
// that refer to the image. The package also signs images like cosign, and carries
// attestations of the source along.
//
// Nothing is written twice: evidence of the same signer with the same content is looked
// for first. What anybody else has attached to an image is neither read as evidence nor
// changed. The package does not promote images, and does not decide whether an image
// satisfies a policy.
package attest

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// statement is an in-toto statement about one subject.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     any        `json:"predicate"`
}

// resource is something with a name, an address or a digest (in-toto ResourceDescriptor).
type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// digests returns a digest in the form of statements.
func digests(d v1.Hash) map[string]string { return map[string]string{d.Algorithm: d.Hex} }

// newStatement returns the JSON of a statement.
func newStatement(name string, digest v1.Hash, predicateType string, predicate any) ([]byte, error) {
	return strictjson.Marshal(statement{provenance.StatementV1, []resource{{Name: name, Digest: digests(digest)}}, predicateType, predicate})
}
