package provenance

import (
	"errors"
	"fmt"
	"regexp"
)

// Certificate says whose certificates count, by identity and issuer. It compares like
// cosign: a regular expression may match a part of the value. Signers of policies differ.
type Certificate struct{ identity, issuer criterion }

// criterion is a value, or an expression that matches values.
type criterion struct {
	exact string
	re    *regexp.Regexp // nil: the exact value
}

// NewCertificate returns the pattern of an identity or an expression for identities, and
// of an issuer or an expression for issuers.
func NewCertificate(identity, identityRegexp, issuer, issuerRegexp string) (*Certificate, error) {
	var c Certificate
	var err error
	if c.identity, err = newCriterion(identity, identityRegexp); err != nil {
		return nil, fmt.Errorf("bad identity of certificates: %w", err)
	}
	if c.issuer, err = newCriterion(issuer, issuerRegexp); err != nil {
		return nil, fmt.Errorf("bad issuer of certificates: %w", err)
	}
	return &c, nil
}

func newCriterion(exact, expression string) (criterion, error) {
	switch {
	case exact != "" && expression != "":
		return criterion{}, errors.New("a value and a regular expression exclude each other")
	case exact == "" && expression == "":
		return criterion{}, errors.New("want a value or a regular expression")
	case exact != "":
		return criterion{exact: exact}, nil
	}
	re, err := regexp.Compile(expression)
	return criterion{re: re}, err
}

// Matches reports whether a verified identity is one of the pattern. Keys never are.
func (c *Certificate) Matches(id Identity) bool {
	return !id.IsKey() && c.identity.matches(id.SAN) && c.issuer.matches(id.Issuer)
}

func (c criterion) matches(value string) bool {
	if c.re != nil {
		return value != "" && c.re.MatchString(value)
	}
	return value == c.exact
}

// String returns the pattern for messages.
func (c *Certificate) String() string { return c.identity.String() + " of " + c.issuer.String() }

// String returns the criterion for messages.
func (c criterion) String() string {
	if c.re != nil {
		return "/" + c.re.String() + "/"
	}
	return c.exact
}

// IsKey reports whether a verified identity is a key.
func (id Identity) IsKey() bool { return id.Key != "" }
