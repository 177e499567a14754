package auth

import (
	"fmt"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

// Credential is what a principal presents. The zero value is anonymous.
type Credential struct {
	Username      string
	Password      string
	IdentityToken string    // a refresh token, to be exchanged at the registry's realm
	RegistryToken string    // a bearer token the registry takes as it is
	Expires       time.Time // zero: unknown
}

// Anonymous reports whether there is nothing to present.
func (c Credential) Anonymous() bool {
	return c.same(Credential{})
}

// AddTo adds what is secret in c to a set.
func (c Credential) AddTo(s *secret.Set) {
	s.AddPair(c.Username, c.Password)
	s.Add(c.IdentityToken, c.RegistryToken)
}

// String says what kind of credential c is, and nothing of what is in it.
// The name is left out too: some registries take a token for it.
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

// GoString returns String, for %#v.
func (c Credential) GoString() string { return c.String() }

// Format writes String whatever the verb, so that no flag prints the fields.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// MarshalText returns String, for JSON, YAML and structured logs.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// same reports whether c and d present the same thing, whenever they end.
func (c Credential) same(d Credential) bool {
	return c.Username == d.Username && c.Password == d.Password &&
		c.IdentityToken == d.IdentityToken && c.RegistryToken == d.RegistryToken
}

// Token is a bearer token of a registry.
type Token struct {
	Value   string
	Expires time.Time // zero: unknown
}

// String says whether there is a token, and nothing of what is in it.
func (t Token) String() string {
	if t.Value == "" {
		return "no token"
	}
	return "token (redacted)"
}

// GoString returns String, for %#v.
func (t Token) GoString() string { return t.String() }

// Format writes String whatever the verb, so that no flag prints the fields.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// MarshalText returns String, for JSON, YAML and structured logs.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
