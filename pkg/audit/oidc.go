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

// OIDC says how Pub/Sub pushes prove who sends them. Without an audience they need not.
type OIDC struct {
	Audience string // that the subscription is set up with
	Email    string // of the account that pushes; empty: any of Google's
	KeysURL  string // of the issuer's keys; empty: Google's
}

// Google's issuer and keys: Pub/Sub, "Authenticate push subscriptions".
const (
	googleIssuer = "https://accounts.google.com"
	googleKeys   = "https://www.googleapis.com/oauth2/v3/certs"
)

// verifier verifies the tokens of Pub/Sub pushes.
type verifier struct {
	email  string
	tokens *oidc.IDTokenVerifier
}

// newVerifier returns a verifier, or nil if none is asked for.
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

// check returns an error unless a request shows a good token.
func (v *verifier) check(r *http.Request) error {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return errors.New("the push shows no OpenID Connect token")
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
		return errors.New("the push's token is of another account")
	}
	return nil
}
