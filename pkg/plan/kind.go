package plan

// Kind says what an item is, if it is not an edge that a manifest wants. Items of a kind
// are reported, but not counted.
type Kind uint8

// The kinds.
const (
	Referrer Kind = iota + 1 // a signature, attestation or other referrer of a wanted digest
	Evidence                 // what this run states about a promoted digest, or carries along with it
)

var kinds = [...]string{"", "referrer", "evidence"}

// String returns the name of the kind in reports; empty for a wanted edge.
func (k Kind) String() string { return kinds[k] }

// What says which evidence an item is.
type What uint8

// The kinds of evidence, in the order in which they are written.
const (
	CarriedAttestation  What = iota + 1 // an attestation of the source that satisfies the policies
	ImageSignature                      // of the image and its children
	PromotionRecord                     // the statement that the image was promoted
	VerificationSummary                 // the statement that the image was verified
)

var whats = [...]string{"", "attestation", "signature", "record", "summary"}

// String returns the name in reports.
func (w What) String() string { return whats[w] }
