package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

const (
	acrScope    = "https://containerregistry.azure.net/.default"
	acrUser     = "00000000-0000-0000-0000-000000000000" // the user name that ACR expects with a refresh token
	azureWithin = 10 * time.Second                       // for sign-in and exchange: without a network the SDK retries for minutes
	azureTag    = "7783-7084-3265-9085-8269-3286-77"     // the asset tag of all Azure machines
)

// isACR reports whether host is an Azure Container Registry.
func isACR(host string) bool { return strings.HasSuffix(host, ".azurecr.io") }

// acr returns a registry's refresh token for the Azure identity.
func (s *Store) acr(ctx context.Context, host string) (answer, error) {
	named := true
	signIn := s.azureCredential
	switch {
	case anyEnv("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"):
	case anyEnv("IDENTITY_ENDPOINT", "MSI_ENDPOINT"):
		signIn = s.azureMachine
	case s.madeBy("chassis_asset_tag") == azureTag:
		signIn, named = s.azureMachine, false
	default:
		return answer{}, errAbsent
	}
	ctx, cancel := context.WithTimeout(ctx, azureWithin)
	defer cancel()
	user, err := s.cache.get(ctx, sharedPrefix+"azure", func(ctx context.Context) (answer, error) {
		return s.azureToken(ctx, signIn)
	})
	var a answer
	if err == nil {
		a, err = s.acrExchange(ctx, host, user.cred.Password)
		if err != nil {
			err = fmt.Errorf("asking the registry for a refresh token: %w", err)
		}
	}
	if err != nil && !named {
		err = impliedError{err}
	}
	return a, err
}

// azureToken signs in and returns an access token for ACR as a password.
func (s *Store) azureToken(ctx context.Context, signIn func() (azcore.TokenCredential, error)) (answer, error) {
	cred, err := signIn()
	if err != nil {
		return answer{}, fmt.Errorf("reading the Azure identity: %w", sanitize(err))
	}
	ctx, cancel := context.WithTimeout(ctx, azureWithin)
	defer cancel()
	tok, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{acrScope}})
	if err != nil {
		return answer{}, fmt.Errorf("signing in to Azure: %w", sanitize(err))
	}
	return answer{cred: Credential{Password: tok.Token, Expires: s.ends(tok.ExpiresOn)}}, nil
}

// azureCredential returns the application that the environment names.
func (s *Store) azureCredential() (azcore.TokenCredential, error) {
	options := policy.ClientOptions{Transport: s.web}
	// Microsoft's list of clouds does not contain a private cloud, or cannot be reached from it.
	private := anyEnv("AZURE_AUTHORITY_HOST")
	if anyEnv("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH") {
		return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: private,
		})
	}
	return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: private,
	})
}

// azureMachine returns the managed identity of this machine.
//
// If the machine has several, AZURE_CLIENT_ID chooses one.
func (s *Store) azureMachine() (azcore.TokenCredential, error) {
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: policy.ClientOptions{Transport: s.link}}
	if id := os.Getenv("AZURE_CLIENT_ID"); id != "" {
		options.ID = azidentity.ClientID(id)
	}
	return azidentity.NewManagedIdentityCredential(options)
}

// acrExchange exchanges an Azure access token for a refresh token of one registry.
func (s *Store) acrExchange(ctx context.Context, host, token string) (answer, error) {
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {token}}
	u := "https://" + host + "/oauth2/exchange"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.web.Do(req)
	if err != nil {
		return answer{}, withoutURL(err)
	}
	body, err := readBody(resp)
	if resp.StatusCode != http.StatusOK {
		said := strings.ReplaceAll(oauthText(body), token, "[redacted]")
		err = statusError(resp.StatusCode, clip(said))
	}
	if err != nil {
		return answer{}, err
	}
	var got struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := strictjson.Unmarshal(body, &got); err != nil {
		return answer{}, jsonError(err)
	}
	if got.RefreshToken == "" {
		return answer{}, errors.New("the answer holds no token")
	}
	a := answer{cred: Credential{Username: acrUser, IdentityToken: got.RefreshToken, Expires: s.ends(jwtEnd(got.RefreshToken))}}
	if a.cred.Expires.IsZero() {
		a.keep = helperKept
	}
	return a, nil
}

// jwtEnd returns the expiry time of a JSON Web Token, or zero.
//
// The signature is not verified: the time only decides when to renew the token.
func jwtEnd(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var c struct {
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(claims, &c) != nil || c.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(c.Exp, 0)
}
