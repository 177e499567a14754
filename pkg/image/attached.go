package image

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Suffixes of the tags under which cosign stores data about a digest.
const (
	SignatureSuffix   = ".sig"
	AttestationSuffix = ".att"
	SBOMSuffix        = ".sbom"
)

// CosignSuffixes returns the suffixes of all tags that cosign uses.
func CosignSuffixes() []string {
	return []string{SignatureSuffix, AttestationSuffix, SBOMSuffix}
}

// Attached parses a tag that is derived from a digest.
//
// The tag sha256-<hex>, or sha512- and the first 64 digits, holds the list of
// referrers of the digest (OCI distribution-spec, "Referrers tag schema"). With a
// suffix, usually one of cosign's, it holds other data about the digest. The subject
// is zero for a sha512 digest, because the tag does not contain all of it. ok is false
// for every other tag.
func Attached(tag string) (subject v1.Hash, suffix string, ok bool) {
	algorithm, rest, _ := strings.Cut(tag, "-")
	if algorithm != "sha256" && algorithm != "sha512" || len(rest) < 64 {
		return v1.Hash{}, "", false
	}
	d, suffix := "sha256:"+rest[:64], rest[64:]
	switch {
	case !isDigest(d):
		return v1.Hash{}, "", false
	case algorithm == "sha256":
		subject = Hash(d)
	}
	return subject, suffix, true
}

// IsAttached reports whether a tag belongs to a signature, attestation, SBOM or list of
// referrers, whatever its subject is.
func IsAttached(tag string) bool {
	_, _, attached := Attached(tag)
	return attached || slices.ContainsFunc(CosignSuffixes(), func(s string) bool { return strings.HasSuffix(tag, s) })
}
