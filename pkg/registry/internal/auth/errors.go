package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

const (
	maxText  = 200 // bytes of a server's or program's message that an error quotes
	maxCause = 600 // bytes of a library's error, whose text is long
)

// RefusedError is the refusal of a token server.
//
// It refused the credential (401) or the requested access (400, 403). Another request
// would fail too, and may lock the account.
type RefusedError struct {
	Status  int
	Message string // the server's message, clipped and without secrets
}

// Error returns the status and the server's message.
func (e *RefusedError) Error() string {
	refused := "grant"
	if e.Status == http.StatusUnauthorized {
		refused = "credential"
	}
	s := fmt.Sprintf("%s refused: %d %s", refused, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	return s
}

// StatusError is an unexpected response of a token server.
//
// It is neither a token nor a refusal.
type StatusError struct{ Status int }

// Error returns the status.
func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status)))
}

// Is reports whether another run may get another status.
func (e *StatusError) Is(target error) bool {
	return target == inventory.ErrRetryable && (e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError)
}

// statusError returns the error for a status other than 2xx.
func statusError(status int, message string) error {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return &RefusedError{Status: status, Message: message}
	}
	return &StatusError{status}
}

// readBody reads a body of at most maxOutput bytes and closes it.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxOutput {
		return nil, fmt.Errorf("reading the answer: longer than %d bytes", maxOutput)
	}
	return body, nil
}

// oauthText returns the message of an error response, or "".
//
// It knows the JSON of OAuth 2 and of registries.
func oauthText(body []byte) string {
	var e struct {
		Error       any    `json:"error"`
		Description string `json:"error_description"`
		Details     any    `json:"details"`
		Message     string `json:"message"`
		Errors      []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	all := []string{text(e.Error), e.Description, e.Message, text(e.Details)}
	for _, one := range e.Errors {
		all = append(all, one.Code, one.Message)
	}
	return strings.Join(strings.Fields(strings.Join(all, " ")), " ")
}

// text returns v if it is a string, else "". Some servers send objects.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// clip shortens the message of a server or program.
func clip(s string) string { return clipTo(s, maxText) }

// signedQuery matches the query of a URL.
//
// It may hold upload state or a signature.
var signedQuery = regexp.MustCompile(`\?[^\s"'<>]+`)

// HideQueries removes the queries of URLs from foreign text.
func HideQueries(s string) string { return signedQuery.ReplaceAllString(s, "?…") }

// clipTo hides queries and shortens foreign text to n bytes, including the ellipsis.
func clipTo(s string, n int) string {
	return strings.ToValidUTF8(image.Clip(HideQueries(s), n-len("…")), "")
}

// sanitize makes the error of an SDK safe to print.
//
// The result is one line of limited length, and does not hold the request or response.
func sanitize(err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		said := e.ErrorCode + " " + e.ErrorDescription
		if e.ErrorCode == "" {
			said = oauthText(e.Body)
		}
		return statusError(e.Response.StatusCode, clip(strings.TrimSpace(said)))
	}
	if e, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && e.RawResponse != nil {
		body, _ := readBody(e.RawResponse) // the SDK buffered the body; without it the error has the status only
		return statusError(e.RawResponse.StatusCode, clip(oauthText(body)))
	}
	err = withoutURL(err)
	said := strconv.Quote(clipTo(strings.Join(strings.Fields(err.Error()), " "), maxCause))
	return inventory.RetryableAs(errors.New(said[1:len(said)-1]), err)
}

// withoutURL returns a failed request's cause without the URL.
//
// The query of the URL may hold a secret. A failed connection is retryable.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	dns, unknown := errors.AsType[*net.DNSError](err)
	if _, failed := errors.AsType[*net.OpError](err); failed && !(unknown && dns.IsNotFound) {
		return inventory.Retryable(err)
	}
	return err
}
