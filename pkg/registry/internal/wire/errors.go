package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

const (
	errorBody    = 64 << 10 // bytes read of an error response
	errorMessage = 300      // bytes of it that are shown
)

// Error is an error response of a registry.
//
// It holds the first error of the body, as the OCI distribution spec has it ("Error
// codes"), and nothing that repeats a secret. It wraps a *transport.Error.
type Error struct {
	Status  int                 // the HTTP status
	Code    transport.ErrorCode // empty if the body has no error code
	Message string              // safe to print; the beginning of the body if that is not JSON
	Detail  string              // JSON; not safe to print

	credential string // of a 401 or 403: which one was used, or where one was looked for
	throttled  bool
	tries      int           // requests that were refused so, if that is why there is no other
	wait       time.Duration // the wait that the host asks for
	patience   time.Duration // the longest wait that is accepted
}

// Unwrap returns the error as go-containerregistry has it.
func (e *Error) Unwrap() error {
	d := transport.Diagnostic{Code: e.Code, Message: e.Message}
	if e.Detail != "" {
		d.Detail = json.RawMessage(e.Detail)
	}
	return &transport.Error{StatusCode: e.Status, Errors: []transport.Diagnostic{d}}
}

// Is reports whether the status is one that another run may not get.
func (e *Error) Is(target error) bool {
	return target == inventory.ErrRetryable && (retryStatus(e.Status) || e.Status >= http.StatusInternalServerError)
}

// UsedUp reports whether the host asks for a longer wait than is accepted.
func (e *Error) UsedUp() bool { return e.throttled && e.wait > e.patience }

// Error returns "403 DENIED: message".
//
// The credential, the number of tries and the wait that the host asks for follow, if they are the reason.
func (e *Error) Error() string {
	s := e.said()
	if e.credential != "" {
		s += " (" + e.credential + ")"
	}
	if e.tries > 1 {
		s += fmt.Sprintf(" (tries: %d)", e.tries)
	}
	if e.wait > longWait && retryStatus(e.Status) {
		s += fmt.Sprintf(" (the host asks to wait for %v)", e.wait.Round(time.Second))
	}
	return s
}

// said returns the status, code and message.
func (e *Error) said() string {
	code := string(e.Code)
	if code == "" {
		code = http.StatusText(e.Status)
	}
	s := strings.TrimSpace(strconv.Itoa(e.Status) + " " + code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// UnansweredError is the interruption of a request already sent.
//
// The host may have carried it out.
type UnansweredError struct{ cause error }

// Error says that the outcome is not known.
func (e *UnansweredError) Error() string {
	return "interrupted before the host answered: it may have been done"
}

// Unwrap returns the error of the context that ended.
func (e *UnansweredError) Unwrap() error { return e.cause }

// ReadError reads an error response and closes it.
//
// The error repeats no secret that was sent, in any spelling.
func ReadError(resp *http.Response) *Error {
	body := readRefusal(resp)
	discard(resp)
	return originOf(resp.Request).transport.newError(resp, body)
}

// readRefusal reads the beginning of an error response.
func readRefusal(resp *http.Response) []byte {
	hurry(resp, originOf(resp.Request).transport.options.Limits.Refusal)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBody))
	return body
}

// newError returns the error in a response.
func (t *Transport) newError(resp *http.Response, body []byte) *Error {
	hide := t.secrets.Redact
	e := &Error{Status: resp.StatusCode, throttled: resp.StatusCode == http.StatusTooManyRequests, patience: t.options.Limits.Patience}
	e.wait, _ = pace.Delay(resp.Header, string(body), time.Now())
	if h := originOf(resp.Request); (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) && h.answered(resp) {
		e.credential = hide(h.credentialNote(attemptOf(resp.Request.Context()).cred))
	}
	var oci struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &oci) == nil && len(oci.Errors) > 0 {
		first := oci.Errors[0]
		e.Code = transport.ErrorCode(Printable(hide(first.Code), 60))
		e.Message, e.Detail = Printable(hide(first.Message), errorMessage), hide(string(first.Detail))
		return e
	}
	if text := strings.TrimSpace(string(body)); !strings.HasPrefix(text, "<") { // an HTML page is not a useful message
		e.Message = Printable(hide(text), errorMessage)
	}
	return e
}

// originOf returns the registry that a request was for.
func originOf(req *http.Request) *host {
	h, _ := req.Context().Value(originKey{}).(*host)
	return h
}

// Printable makes foreign text safe for terminals and logs.
//
// Control characters are escaped, the queries of URLs are removed, and the text is cut
// to limit bytes.
func Printable(s string, limit int) string {
	q := strconv.Quote(image.Clip(auth.HideQueries(s), limit))
	q = q[1 : len(q)-1]
	return strings.ReplaceAll(q, `\"`, `"`)
}

// errRefused marks a redirect or an address that this package refuses to follow.
//
// The registry did not return the error, and a retry does not help.
var errRefused = errors.New("refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRefused, fmt.Sprintf(format, args...))
}

// ErrElsewhere means that a redirect led to another host, which did not answer.
//
// Only requests with Home fail so. The error says nothing about the registry itself.
var ErrElsewhere = refused("following a redirect: another host does not answer it")

// elsewhere reports whether a redirect to another host failed.
func elsewhere(req *http.Request, resp *http.Response, err error) bool {
	if err == nil {
		return resp.Request.URL.Host != req.URL.Host && resp.StatusCode != http.StatusOK
	}
	if errors.Is(err, errRefused) {
		return true // the redirect was not followed, or not to that address
	}
	var u *url.Error
	if !errors.As(err, &u) {
		return false
	}
	at, bad := url.Parse(u.URL)
	return bad == nil && at.Host != req.URL.Host
}

// Clean removes queries of URLs and secrets from an error.
func (t *Transport) Clean(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return t.Clean(u.Err)
	}
	for _, late := range []error{errStalled, errSlow} {
		if errors.Is(err, late) {
			return late
		}
	}
	text := err.Error()
	if clean := auth.HideQueries(t.secrets.Redact(text)); clean != text {
		return &cleanError{err, Printable(clean, errorMessage)}
	}
	return err
}

// cleanError is an error with a text that is safe to print.
type cleanError struct {
	error
	text string
}

func (e *cleanError) Error() string { return e.text }

func (e *cleanError) Unwrap() error { return e.error }

// retryable reports whether another try may succeed.
func retryable(err error) bool {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		dns      *net.DNSError
	)
	switch {
	case errors.Is(err, errRefused), errors.Is(err, context.Canceled) && !Late(err), withoutTLS(err):
		return false
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// withoutTLS reports whether the answer to the beginning of TLS was something else.
func withoutTLS(err error) bool {
	var header tls.RecordHeaderError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &header)
}

// unsent reports whether a failed request certainly did not reach the host.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

// retryStatus reports whether another try may get another status.
func retryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return status >= 520 && status <= 527 // of Cloudflare: the server behind it failed
}

// throttle adapts the pace of a host to a response.
//
// A response after a redirect to another host says nothing about this one.
func (h *host) throttle(slot *pace.Slot, sent *http.Request, resp *http.Response) {
	t := h.transport
	patience := t.options.Limits.Patience
	own := sameOrigin(resp.Request.URL, sent.URL)
	limited := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable
	if !limited || !own {
		if quota, ok := pace.ParseAnnouncement(resp.Header, time.Now()); ok && own {
			if until := slot.Announced(quota, patience); !until.IsZero() {
				h.waiting(until, "it announces that it accepts no more requests before")
			}
		}
		slot.Answered()
		return
	}
	body := readRefusal(resp)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), resp.Body}
	pause, said := pace.Delay(resp.Header, string(body), time.Now())
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && !said:
		slot.Overloaded()
		return
	case pause > patience:
		slot.Answered() // a quota is used up: a slower pace would not help
		return
	case !said:
		pause = time.Second // the shortest window of the registries that name none
	}
	slot.Throttled(pause)
	if perSecond, ok := pace.AllowedRate(string(body)); ok {
		slot.Limited(perSecond)
	}
	h.waiting(time.Now().Add(pause), t.newError(resp, body).said())
}

// discard closes a response.
//
// If little of the body is left, the connection is kept.
func discard(resp *http.Response) {
	hurry(resp, time.Second)
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
}
