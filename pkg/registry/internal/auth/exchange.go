package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/strictjson"
)

const (
	clientID     = "cip"            // the OAuth 2 client_id of this program
	defaultLife  = 60 * time.Second // of a token without expires_in, from distribution's token specification
	maximumLife  = 24 * time.Hour   // of any token; a request a day costs nothing
	maximumToken = 64 << 10         // bytes; no server accepts a longer header
)

// exchange is one request for a bearer token.
type exchange struct {
	do      func(*http.Request) (*http.Response, error)
	realm   *url.URL
	service string
	scopes  []string
	cred    Credential
	sent    *secret.Set
}

// Exchange requests a bearer token from a token server.
//
// The challenge names the server. Scopes are such as "repository:a/b:pull,push"; some
// servers read only the first. The request is sent by do, which must not follow
// redirects. The error is a *RefusedError if the server refuses the credential or the
// scopes, and a *StatusError for any other status that is not 2xx. Exchange adds the
// credential and the token to sent, and no error repeats a secret in that set.
func Exchange(
	ctx context.Context, do func(*http.Request) (*http.Response, error),
	ch Challenge, scopes []string, cred Credential, sent *secret.Set, now func() time.Time,
) (Token, error) {
	cred.AddTo(sent)
	if ch.Scheme != "bearer" {
		return Token{}, fmt.Errorf("exchanging a credential for a token: the challenge is %q, not bearer", clip(ch.Scheme))
	}
	if cred.RegistryToken != "" {
		return Token{Value: cred.RegistryToken, Expires: cred.Expires}, nil
	}
	realm, err := parseRealm(ch)
	if err != nil {
		return Token{}, err
	}
	x := exchange{do: do, realm: realm, service: ch.Params["service"], scopes: scopes, cred: cred, sent: sent}
	asked := now() // before the request, because the lifetime begins when the server answers
	value, life, err := x.token(ctx)
	if err != nil {
		server := url.URL{Scheme: realm.Scheme, Host: realm.Host, Path: realm.Path}
		return Token{}, fmt.Errorf("asking %q for a token: %w", clip(server.String()), err)
	}
	sent.Add(value)
	return Token{Value: value, Expires: asked.Add(life)}, nil
}

// parseRealm returns the URL of the token server.
//
// It is an error if no credential may be sent there.
func parseRealm(ch Challenge) (*url.URL, error) {
	u, err := url.Parse(ch.Params["realm"])
	problem := ""
	switch {
	case err != nil: // not wrapped: it quotes the realm
		problem = "it is not a URL"
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		problem = "it is not an absolute http or https URL"
	case u.User != nil:
		problem = "it holds user information"
	case u.Scheme == "http" && !ch.Insecure:
		problem = "it has no TLS, though the registry has"
	case isLinkLocal(u.Hostname()):
		problem = "it is an address of this machine's link"
	}
	if problem != "" {
		return nil, fmt.Errorf("reading the registry's challenge: its realm cannot be used: %s", problem)
	}
	return u, nil
}

// isLinkLocal reports whether host is link-local, multicast or unspecified.
//
// Clouds have identity services at such addresses, whose responses a registry must not
// be able to request. No token server has one.
func isLinkLocal(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && (a.Unmap().IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast())
}

// token sends the request: POST with refresh token, else GET.
//
// GET is also used if the server does not know POST and there is a password.
func (x *exchange) token(ctx context.Context) (string, time.Duration, error) {
	if x.cred.IdentityToken != "" {
		value, life, err := x.post(ctx)
		status, ok := errors.AsType[*StatusError](err)
		unknown := ok && (status.Status == http.StatusNotFound || status.Status == http.StatusMethodNotAllowed)
		if !unknown || x.cred.Password == "" {
			return value, life, err
		}
	}
	return x.get(ctx)
}

// post sends the refresh token as OAuth 2 demands.
func (x *exchange) post(ctx context.Context) (string, time.Duration, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {x.cred.IdentityToken},
		"client_id":     {clientID},
	}
	if x.service != "" {
		form.Set("service", x.service)
	}
	if len(x.scopes) > 0 {
		form.Set("scope", strings.Join(x.scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.realm.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return x.send(req)
}

// get sends user name and password, if there are any.
//
// The request is that of distribution's token specification.
func (x *exchange) get(ctx context.Context) (string, time.Duration, error) {
	q := url.Values{}
	if x.service != "" && !x.realm.Query().Has("service") {
		q.Set("service", x.service)
	}
	for _, scope := range x.scopes {
		q.Add("scope", scope)
	}
	u := *x.realm
	u.RawQuery = strings.Trim(u.RawQuery+"&"+q.Encode(), "&")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", 0, withoutURL(err)
	}
	if x.cred.Username != "" || x.cred.Password != "" {
		req.SetBasicAuth(x.cred.Username, x.cred.Password)
	}
	return x.send(req)
}

// send returns the token in the response and its lifetime.
func (x *exchange) send(req *http.Request) (string, time.Duration, error) {
	req.Header.Set("Accept", "application/json")
	resp, err := x.do(req)
	if err != nil {
		return "", 0, withoutURL(err)
	}
	body, err := readBody(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return "", 0, statusError(resp.StatusCode, x.message(body))
	}
	if err != nil {
		return "", 0, err
	}
	var a struct {
		Token       string          `json:"token"`
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if err := strictjson.Unmarshal(body, &a); err != nil {
		return "", 0, fmt.Errorf("reading the answer: %w", jsonError(err))
	}
	value := cmp.Or(a.Token, a.AccessToken)
	switch {
	case value == "":
		return "", 0, errors.New("reading the answer: it holds no token")
	case len(value) > maximumToken, span(value, func(b byte) bool { return b > ' ' && b < 0x7f }) < len(value):
		return "", 0, errors.New("reading the answer: its token does not fit into a header")
	}
	return value, life(a.ExpiresIn), nil
}

// life returns the lifetime of a token.
//
// Servers write the seconds as a number or as a string.
func life(expiresIn json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(expiresIn), `"`), 64)
	if err != nil || !(seconds >= 1) { // true for NaN, too
		return defaultLife
	}
	if seconds > maximumLife.Seconds() {
		return maximumLife
	}
	return time.Duration(seconds * float64(time.Second))
}

// message returns the message of a refusal, without the secrets that were sent.
func (x *exchange) message(body []byte) string {
	text := oauthText(body)
	if text == "" {
		text = strings.TrimSpace(string(body))
	}
	if query := x.realm.RawQuery; query != "" {
		text = strings.ReplaceAll(text, query, "[redacted]")
	}
	return clip(x.sent.Redact(text))
}
