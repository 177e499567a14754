package attest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

// audience is for whom the tokens are.
const audience = "sigstore"

// The service that issues tokens for Google's service accounts, and what it demands.
const (
	googleTokens = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/%s:generateIdToken"
	googleScope  = "https://www.googleapis.com/auth/cloud-platform"
)

// Identities says where a keyless signer finds the token that proves who it is.
type Identities struct {
	File    func() ([]byte, error) // of --identity-token-file; nil: none. It is read again for each certificate
	Account string                 // Google service account; empty: Google is not asked
	Getenv  func(string) string
	Web     *http.Transport // nil: the default
}

// ErrNoIdentity is the error if nothing says who signs.
var ErrNoIdentity = errors.New("there is no key and no identity to sign with: give --signing-key, --identity-token-file or --signer-account, set SIGSTORE_ID_TOKEN, " +
	"or give the job of GitHub Actions the permission id-token: write")

// Token returns the function that gets a token from the first of these that is there: the
// file, SIGSTORE_ID_TOKEN, the token service of GitHub Actions, Google's for the account.
func (i Identities) Token() (func(context.Context) (string, error), error) {
	switch {
	case i.File != nil:
		return func(context.Context) (string, error) {
			raw, err := i.File()
			if err != nil {
				return "", fmt.Errorf("reading --identity-token-file: %w", err)
			}
			return strings.TrimSpace(string(raw)), nil
		}, nil
	case i.Getenv("SIGSTORE_ID_TOKEN") != "":
		token := strings.TrimSpace(i.Getenv("SIGSTORE_ID_TOKEN"))
		return func(context.Context) (string, error) { return token, nil }, nil
	case i.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") != "" && i.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN") != "":
		return i.actions, nil
	case i.Account != "":
		return i.google, nil
	}
	return nil, ErrNoIdentity
}

// actions gets a token from the service of GitHub Actions.
func (i Identities) actions(ctx context.Context) (string, error) {
	u, err := url.Parse(i.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"))
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not an address")
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not an address")
	}
	r.Header.Set("Authorization", "Bearer "+i.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	r.Header.Set("Accept", "application/json")
	var answer struct {
		Value string `json:"value"`
	}
	if err := ask(ctx, webOf(i.Web), r, &answer); err != nil {
		return "", fmt.Errorf("getting a token of GitHub Actions: %w", err)
	}
	return answer.Value, nil
}

// google gets a token for a service account from Google, with the application default
// credentials.
func (i Identities) google(ctx context.Context) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("getting a token of %s: %w", i.Account, err)
	}
	web := context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: webOf(i.Web), Timeout: webWithin})
	creds, err := google.FindDefaultCredentials(web, googleScope)
	if err != nil {
		return fail(errors.New("there are no application default credentials of Google (gcloud auth application-default login)"))
	}
	access, err := creds.TokenSource.Token()
	if err != nil {
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.Response != nil {
			return fail(fmt.Errorf("%s answered %d %s", refused.Response.Request.URL.Host, refused.Response.StatusCode, refused.ErrorCode))
		}
		return fail(errors.New("the application default credentials of Google give no access token"))
	}
	body, err := strictjson.Marshal(struct {
		Audience     string `json:"audience"`
		IncludeEmail bool   `json:"includeEmail"`
	}{audience, true})
	if err != nil {
		return fail(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf(googleTokens, url.PathEscape(i.Account)), strings.NewReader(string(body)))
	if err != nil {
		return fail(err)
	}
	access.SetAuthHeader(r)
	r.Header.Set("Content-Type", "application/json")
	var answer struct {
		Token string `json:"token"`
	}
	if err := ask(ctx, webOf(i.Web), r, &answer); err != nil {
		return fail(err)
	}
	return answer.Token, nil
}

// token returns a token, and remembers that it must not be printed.
func (s *Signer) token(ctx context.Context) (string, error) {
	if s.o.Token == nil {
		return "", ErrNoIdentity
	}
	token, err := s.o.Token(ctx)
	switch {
	case err != nil:
		return "", err
	case token == "":
		return "", errors.New("the identity token is empty")
	}
	s.secrets.Add(token)
	return token, nil
}

// claims are the fields of a token from which Fulcio makes the name in a certificate.
type claims struct {
	Issuer     string          `json:"iss"`
	Subject    string          `json:"sub"`
	Email      string          `json:"email"`
	Verified   json.RawMessage `json:"email_verified"` // true, or "true"
	Workflow   string          `json:"job_workflow_ref"`
	ConfigFile string          `json:"ci_config_ref_uri"`
}

const (
	actionsIssuer = "https://token.actions.githubusercontent.com"
	gitLabIssuer  = "https://gitlab.com"
)

// identityOf returns the identity that Fulcio usually gives to the owner of a token.
// The token is not verified: that is for Fulcio.
func identityOf(token string) (provenance.Identity, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return provenance.Identity{}, errors.New("the identity token is not a JSON web token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return provenance.Identity{}, errors.New("the identity token is not a JSON web token")
	}
	id := provenance.Identity{Issuer: c.Issuer, SAN: c.Subject}
	switch {
	case c.Issuer == actionsIssuer && c.Workflow != "":
		id.SAN = "https://github.com/" + c.Workflow
	case c.Issuer == gitLabIssuer && c.ConfigFile != "":
		id.SAN = "https://" + c.ConfigFile
	case c.Email != "" && strings.Trim(string(c.Verified), `"`) == "true":
		id.SAN = c.Email
	case c.Email != "":
		return id, errors.New("the mail address in the identity token is not verified by its issuer")
	}
	if id.SAN == "" || id.Issuer == "" {
		return id, errors.New("the identity token names no subject and issuer")
	}
	return id, nil
}
