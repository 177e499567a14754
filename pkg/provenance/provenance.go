// Package provenance holds the provenance policies of manifests, and judges evidence by them.
//
//	provenance: in a manifest ─ Read ─▶ Policy
//	Policies of a set of manifests ─ Of(repository) ─▶ Bound policies of an image
//	Bound policy, Evidence of the image ─ Judge ─▶ Result
//
// It is pure. Package evidence reads attestations and verifies their signatures; what it
// found is an Evidence. A signature that was not verified, and a statement that could not
// be read, never satisfy a policy.
package provenance

import (
	"encoding/json"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// Mode says what a policy does with an image that does not satisfy it.
type Mode int

// The modes.
const (
	Off     Mode = iota + 1 // nothing: the image is not judged
	Warn                    // the image is promoted, with a warning
	Require                 // the image is refused
)

// Policy is the value of the key provenance in a manifest.
type Policy struct {
	Mode           Mode
	Signers        []Signer
	Builders       []Builder
	Sources        []string // source repositories, as in the manifest
	PredicateTypes []string // of attestations that an image must have in addition
	Level          int      // minimum SLSA build level, 2 or 3; 0: every check must pass
	Levels         []ImageLevel
	Pos            yamlread.Pos // of the key provenance
}

// Signer says whose signatures count: a pattern of certificate identities.
type Signer struct {
	Spec     string // as in the manifest
	Issuer   Pattern
	Identity Pattern
}

// Builder is a trusted builder.
type Builder struct {
	ID      string
	Level   int      // SLSA build level that the builder is trusted for, 1 to 3
	Signers []string // specs of the signers that may name it; none: all
	Caller  *Caller  // of a reusable workflow; nil: any
}

// Caller restricts the workflows that call a reusable workflow.
type Caller struct {
	Workflows []string // paths that begin with .github/workflows/; none: all
	Refs      []string // path.Match patterns that begin with refs/
}

// ImageLevel is a minimum level for the images that match a pattern.
type ImageLevel struct {
	Images []string // path.Match patterns of names below the source
	Level  int      // 2 or 3
	Pos    yamlread.Pos
}

// Bound is a policy that binds an image.
type Bound struct {
	*Policy
	Source image.Registry // of the policy's manifest
	File   string         // the manifest, for messages
	Want   int            // the level that levels requires of the image; 0: none
}

// Evidence is what is known about an image: its attestations, and those of its platforms.
type Evidence struct {
	Repository   name.Repository // where the evidence was read
	Digest       v1.Hash
	Index        bool
	Attestations []Attestation // that are attached to the digest
	Platforms    []Evidence    // the direct children of an index that are platform manifests
	Notes        []string      // referrers that could not be read, and were left out
	Err          error         // the evidence could not be read; nothing else is known then
}

// Attestation is a statement that is attached to an image.
type Attestation struct {
	State     State
	Reason    string     // why the signature is not Verified
	Statement *Statement // nil: it could not be parsed
	Signer    Identity   // zero, unless Verified
	URI       string     // repository@digest of the referrer, or repository:tag of cosign's .att
	Digest    v1.Hash    // of the layer with the bundle; in cosign's .att of the statement
	Referrer  v1.Hash    // the manifest that has the bundle; zero in cosign's .att
}

// State is the result of verifying the signature of an attestation.
type State int

// The states.
const (
	Verified     State = iota + 1
	Unsigned           // it has no signature
	Unverifiable       // it is signed by something that is not trusted here, such as an unknown key
	Failed             // the signature is wrong
)

// Signature is a signature of an image by cosign, after it was verified.
type Signature struct {
	Where   string   // the reference of the manifest that holds it
	By      Identity // zero, unless it is valid
	Invalid string   // why it is not valid; empty if it is
	Bundle  bool     // it is not one of those under cosign's tag
	Claims  Identity // that the certificate of one that is not valid names; may be zero
}

// Identity is the verified signer of an attestation.
type Identity struct {
	SAN              string // subject alternative name of the certificate: an address or a URI
	Issuer           string // OpenID Connect issuer
	SourceRepository string // Source Repository URI (1.3.6.1.4.1.57264.1.12); may be empty
	BuildConfig      string // Build Config URI (….18); may be empty
	Key              string // "sha256:…" of the public key (DER), if it was not a certificate
}

// Statement is an in-toto statement.
type Statement struct {
	Type          string // https://in-toto.io/Statement/v0.1 or /v1
	PredicateType string
	Subjects      []Subject
	Predicate     json.RawMessage
}

// Subject is what a statement is about.
type Subject struct {
	Name   string
	Digest map[string]string // by algorithm, in hexadecimal digits
}

// Verdict is the result of all policies that bind an image.
type Verdict struct {
	Repository name.Repository // the source
	Judgments  []Judgment      // none: no policy binds the image, and nothing was read
}

// Judgment is the result of one policy.
type Judgment struct {
	Policy Bound
	Result Result
}

// Result says whether evidence satisfies a policy.
type Result struct {
	Level      int              // verified SLSA build level, 0 to 3
	Violations []string         // none: the policy is satisfied
	Accepted   []*Attestation   // that the policy accepts, those of platforms too
	Platforms  []PlatformResult // of an index; they count only if it has no provenance of its own
}

// PlatformResult is the result of a policy for a platform of an index, by its own attestations.
type PlatformResult struct {
	Digest v1.Hash
	Result Result
}
