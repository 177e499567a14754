package image

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The tags beside a digest under which cosign keeps what belongs to it end so.
const (
	SignatureSuffix   = ".sig"
	AttestationSuffix = ".att"
	SBOMSuffix        = ".sbom"
)

// CosignSuffixes returns all of them.
func CosignSuffixes() []string {
	return []string{SignatureSuffix, AttestationSuffix, SBOMSuffix}
}

// Attached reads a tag that stands beside a digest: sha256-<hex>, or sha512- and the
// first 64 digits, is the list of its referrers (OCI distribution-spec, "Referrers
// tag schema"), and with a suffix, mostly one of cosign's, something that belongs to
// it. The subject is empty for a sha512 digest, as the tag does not hold all of it.
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
