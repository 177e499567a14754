package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

const (
	maxText  = 200 // bytes of a server's or program's words that an error repeats
	maxFault = 600 // bytes of a library's error, which wraps its cause in many words
)

// RefusedError says that a token server refused the credential (401) or what was
// asked for (400, 403). Asking again changes nothing and may lock the account.
type RefusedError struct {
	Status  int
	Message string // the server's words, clipped, without secrets
}

// Error names the status and quotes the server.
func (e *RefusedError) Error() string {
	what := "grant refused"
	if e.Status == http.StatusUnauthorized {
		what = "credential refused"
	}
	s := fmt.Sprintf("%s: %d %s", what, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	return s
}

// StatusError is a token server's answer that is neither a token nor a refusal;
// its status and header tell whether and when to ask again.
type StatusError struct {
	Status int
	Header http.Header
}

// Error names the status.
func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status)))
}

// statusFault returns the error for an answer that is not 2xx.
func statusFault(status int, header http.Header, message string) error {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return &RefusedError{Status: status, Message: message}
	}
	return &StatusError{Status: status, Header: header}
}

// readBody reads at most maxOutput bytes of an answer and closes it.
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

// oauthText returns what an OAuth 2 or registry error in JSON says, or "".
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
	words := []string{text(e.Error), e.Description, e.Message, text(e.Details)}
	for _, one := range e.Errors {
		words = append(words, one.Code, one.Message)
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// text returns v if it is a string: what it otherwise is differs between servers.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// clip shortens a server's or program's words.
func clip(s string) string { return clipTo(s, maxText) }

// signedQuery is what follows a '?' in an address: upload state and signatures.
var signedQuery = regexp.MustCompile(`\?[^\s"'<>]+`)

// HideQueries leaves out the queries of addresses in foreign text.
func HideQueries(s string) string { return signedQuery.ReplaceAllString(s, "?…") }

// clipTo shortens foreign text, without the queries of addresses, to n bytes with the ellipsis.
func clipTo(s string, n int) string {
	return strings.ToValidUTF8(image.Clip(HideQueries(s), n-len("…")), "")
}

// tame returns an error that says what a cloud library's error says, on one line,
// bounded, and with nothing of the requests and answers that it may carry.
func tame(err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		said := e.ErrorCode + " " + e.ErrorDescription
		if e.ErrorCode == "" {
			said = oauthText(e.Body)
		}
		return statusFault(e.Response.StatusCode, e.Response.Header, clip(strings.TrimSpace(said)))
	}
	if e, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && e.RawResponse != nil {
		body, _ := readBody(e.RawResponse) // the library keeps the body to be read again; without it the status has to do
		return statusFault(e.RawResponse.StatusCode, e.RawResponse.Header, clip(oauthText(body)))
	}
	err = withoutURL(err)
	said := strconv.Quote(clipTo(strings.Join(strings.Fields(err.Error()), " "), maxFault))
	return errors.New(said[1 : len(said)-1])
}

// withoutURL returns the cause of a failed request without the address, whose query may hold more than may be told.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
