package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OIDC configures the check of tokens of Pub/Sub pushes.
//
// Without an audience, pushes need no token.
type OIDC struct {
	Audience string // of the subscription
	Email    string // of the account that pushes; empty: any account of Google
	KeysURL  string // of the signing keys; empty: that of Google
}

// The issuer and the keys of Google (Pub/Sub, "Authenticate push subscriptions").
const (
	googleIssuer = "https://accounts.google.com"
	googleKeys   = "https://www.googleapis.com/oauth2/v3/certs"
)

// verifier verifies the tokens of Pub/Sub pushes.
type verifier struct {
	email  string
	tokens *oidc.IDTokenVerifier
}

// newVerifier returns a verifier, or nil without an audience.
func newVerifier(ctx context.Context, o OIDC) *verifier {
	if o.Audience == "" {
		return nil
	}
	if o.KeysURL == "" {
		o.KeysURL = googleKeys
	}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &http.Client{Timeout: 10 * time.Second}), o.KeysURL)
	return &verifier{o.Email, oidc.NewVerifier(googleIssuer, keys, &oidc.Config{ClientID: o.Audience})}
}

// check returns an error unless a request's token is valid.
func (v *verifier) check(r *http.Request) error {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return errors.New("the push has no OpenID Connect token")
	}
	token, err := v.tokens.Verify(r.Context(), raw)
	if err != nil {
		return fmt.Errorf("verifying the push's token: %w", err)
	}
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	if err := token.Claims(&claims); err != nil {
		return fmt.Errorf("verifying the push's token: %w", err)
	}
	if v.email != "" && (claims.Email != v.email || !claims.Verified) {
		return errors.New("the push has a token of another account")
	}
	return nil
}
