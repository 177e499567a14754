package auth

import (
	"cmp"
	"fmt"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

// Credential is a password or token for a registry. The zero value is anonymous.
type Credential struct {
	Username      string
	Password      string
	IdentityToken string    // a refresh token, for the registry's token server
	RegistryToken string    // a bearer token, for the registry itself
	Expires       time.Time // zero: unknown

	Kind string // what it is from, such as "docker config"; empty if anonymous
	From string // where that is, such as a file; may be empty
}

// Source returns the kind of place that the credential is from, or "anonymous".
func (c Credential) Source() string { return cmp.Or(c.Kind, "anonymous") }

// Origin describes the credential's source, with the user name.
func (c Credential) Origin() string {
	s := c.Kind
	if c.From != "" {
		s += " " + c.From
	}
	if c.Username != "" && c.Password != "" && c.Kind == dockerConfig {
		s = fmt.Sprintf("user %q of %s", c.Username, s)
	}
	return s
}

// from returns c with its source, unless it is anonymous.
func (c Credential) from(kind, where string) Credential {
	if !c.Anonymous() {
		c.Kind, c.From = kind, where
	}
	return c
}

// Anonymous reports whether c holds neither password nor token.
func (c Credential) Anonymous() bool {
	return c.same(Credential{})
}

// AddTo adds the secrets of c to a set.
func (c Credential) AddTo(s *secret.Set) {
	s.AddPair(c.Username, c.Password)
	s.Add(c.IdentityToken, c.RegistryToken)
}

// String returns the kind of credential, without its content.
//
// It omits the user name too: some registries accept a token in its place.
func (c Credential) String() string {
	switch {
	case c.Anonymous():
		return "anonymous"
	case c.RegistryToken != "":
		return "registry token (redacted)"
	case c.IdentityToken != "":
		return "identity token (redacted)"
	}
	return "name and password (redacted)"
}

// Format writes String, so that no verb prints a secret.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// MarshalText returns String, for JSON, YAML and structured logs.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// same reports whether c and d are equal except for their expiry.
func (c Credential) same(d Credential) bool {
	return c.Username == d.Username && c.Password == d.Password &&
		c.IdentityToken == d.IdentityToken && c.RegistryToken == d.RegistryToken
}

// Token is a bearer token of a registry.
type Token struct {
	Value   string
	Expires time.Time // zero: unknown
}

// String returns whether there is a token, without the token.
func (t Token) String() string {
	if t.Value == "" {
		return "no token"
	}
	return "token (redacted)"
}

// Format writes String, so that no verb prints a secret.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// MarshalText returns String, for JSON, YAML and structured logs.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
