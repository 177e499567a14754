package provenance

import (
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/yamlread"
)

// ParseSigner parses the specification of a signer:
//
//	sigstore::ISSUER::IDENTITY
//	sigstore(identityMatch=KIND,issuerMatch=KIND)::ISSUER::IDENTITY
//	sigstore(regexp)::ISSUER::IDENTITY
//
// KIND is exact, prefix, glob or regex, and may end with /i. A part without a KIND is
// compared exactly. The last form is an old one: both parts are regular expressions.
func ParseSigner(spec string) (Signer, error) {
	head, rest, _ := strings.Cut(spec, "::")
	switch kind, _, _ := strings.Cut(spec, ":"); {
	case kind == "key", kind == "spiffe", kind == "ref":
		return Signer{}, fmt.Errorf("signers of kind %s are not supported: want sigstore::ISSUER::IDENTITY", kind)
	case head != "sigstore" && !strings.HasPrefix(head, "sigstore("):
		return Signer{}, fmt.Errorf("bad signer %q: want sigstore::ISSUER::IDENTITY", yamlread.Clip(spec))
	}
	kinds, err := parseKinds(strings.TrimPrefix(head, "sigstore"))
	if err != nil {
		return Signer{}, fmt.Errorf("bad signer %q: %w", yamlread.Clip(spec), err)
	}
	s := Signer{Spec: spec}
	issuer, identity, ok := strings.Cut(rest, "::")
	if !ok {
		return Signer{}, fmt.Errorf("bad signer %q: want an issuer and an identity, with :: between them", yamlread.Clip(spec))
	}
	if s.Issuer, err = kinds.issuer.pattern(issuer); err != nil {
		return Signer{}, fmt.Errorf("bad issuer of signer %q: %w", yamlread.Clip(spec), err)
	}
	if s.Identity, err = kinds.identity.pattern(identity); err != nil {
		return Signer{}, fmt.Errorf("bad identity of signer %q: %w", yamlread.Clip(spec), err)
	}
	return s, nil
}

// match is how a part of a signer is compared, such as regex/i.
type match string

// pattern returns the pattern of a part.
func (m match) pattern(value string) (Pattern, error) {
	kind, fold := strings.CutSuffix(string(m), "/i")
	return NewPattern(kind, fold, value)
}

// kinds are how the two parts of a signer are compared.
type kinds struct{ issuer, identity match }

// parseKinds parses what follows sigstore: nothing, or parameters in parentheses.
func parseKinds(s string) (kinds, error) {
	k := kinds{}
	switch s {
	case "":
		return kinds{Exact, Exact}, nil
	case "(regexp)":
		return kinds{Regex, Regex}, nil
	}
	inner, ok := strings.CutSuffix(strings.TrimPrefix(s, "("), ")")
	if !ok {
		return k, errors.New("the ) before :: is missing")
	}
	for parameter := range strings.SplitSeq(inner, ",") {
		name, kind, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		var part *match
		switch name {
		case "issuerMatch":
			part = &k.issuer
		case "identityMatch":
			part = &k.identity
		default:
			return k, fmt.Errorf("unknown parameter %q: want identityMatch=KIND or issuerMatch=KIND", yamlread.Clip(name))
		}
		if *part != "" {
			return k, fmt.Errorf("parameter %s is repeated", name)
		}
		if _, err := match(kind).pattern("x"); err != nil {
			return k, err
		}
		*part = match(kind)
	}
	if k.issuer == "" {
		k.issuer = Exact
	}
	if k.identity == "" {
		k.identity = Exact
	}
	return k, nil
}
