package wire

import (
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

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/pace"
)

const (
	errorBody    = 64 << 10 // bytes read of an error answer
	errorMessage = 300      // bytes of it that are shown
)

// Error is an answer that is not what was asked for.
type Error struct {
	Status  int    // HTTP status
	Code    string // of the first OCI error, or empty
	Message string // of the first OCI error, or the beginning of the body; safe to print
	Detail  string // of the first OCI error, as it stands; for programs

	throttled bool
	wait      time.Duration // that it asks for
	patience  time.Duration // the longest that is waited
}

// tooLong reports whether the host asks for a longer wait than any that is waited for.
func (e *Error) tooLong() bool { return e.throttled && e.wait > e.patience }

// Error returns "403 DENIED: message".
func (e *Error) Error() string {
	code := e.Code
	if code == "" {
		code = http.StatusText(e.Status)
	}
	s := strings.TrimSpace(strconv.Itoa(e.Status) + " " + code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.tooLong() {
		s += fmt.Sprintf(" (the host asks to wait for %v)", e.wait.Round(time.Second))
	}
	return s
}

// UnansweredError is a request that was sent and interrupted: it may have been carried out.
type UnansweredError struct{ cause error }

// Error says so.
func (e *UnansweredError) Error() string {
	return "interrupted before the host answered: it may have been done"
}

// Unwrap returns the error of the context that ended.
func (e *UnansweredError) Unwrap() error { return e.cause }

// ReadError turns an answer into an *Error and closes it. Nothing in the error
// repeats a secret that was sent, in whatever spelling the host repeats it.
func ReadError(resp *http.Response) *Error {
	t := originOf(resp.Request).transport
	hide := t.secrets.Redact
	hurry(resp, t.options.Limits.Refusal)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBody))
	discard(resp)
	e := &Error{Status: resp.StatusCode, throttled: resp.StatusCode == http.StatusTooManyRequests, patience: t.options.Limits.Patience}
	e.wait, _ = pace.Delay(resp.Header, string(body), time.Now())
	var oci struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &oci) == nil && len(oci.Errors) > 0 {
		first := oci.Errors[0]
		e.Code, e.Message, e.Detail = Printable(hide(first.Code), 60), Printable(hide(first.Message), errorMessage), hide(string(first.Detail))
		return e
	}
	if text := strings.TrimSpace(string(body)); !strings.HasPrefix(text, "<") { // a page for people says nothing
		e.Message = Printable(hide(text), errorMessage)
	}
	return e
}

// originOf returns the host on whose behalf a request was sent.
func originOf(req *http.Request) *host {
	h, _ := req.Context().Value(originKey{}).(*host)
	return h
}

// Printable makes foreign text fit for a terminal and a log: control characters
// escaped, the queries of addresses left out, at most so many bytes.
func Printable(s string, most int) string {
	q := strconv.Quote(image.Clip(auth.HideQueries(s), most))
	q = q[1 : len(q)-1]
	return strings.ReplaceAll(q, `\"`, `"`)
}

// errRefused marks what no retry mends and no registry said: a redirect or an address that is not followed.
var errRefused = errors.New("refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRefused, fmt.Sprintf(format, args...))
}

// ErrElsewhere says that a redirect led a request with Home to another host, which does
// not answer it. It says nothing of the registry.
var ErrElsewhere = refused("following a redirect: another host does not answer it")

// elsewhere reports whether a request was redirected to another host, and not answered there.
func elsewhere(req *http.Request, resp *http.Response, err error) bool {
	if err == nil {
		return resp.Request.URL.Host != req.URL.Host && resp.StatusCode != http.StatusOK
	}
	if errors.Is(err, errRefused) {
		return true // the redirect itself, or an address that it leads to
	}
	var u *url.Error
	if !errors.As(err, &u) {
		return false
	}
	at, bad := url.Parse(u.URL)
	return bad == nil && at.Host != req.URL.Host
}

// Clean strips addresses, with whatever state is in them, and secrets from an error
// that may quote what a host sent.
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

// cleanError is an error that quotes an address, of a redirect that cannot be followed
// for instance, or a secret.
type cleanError struct {
	error
	text string
}

// Error leaves out the queries of addresses, and secrets.
func (e *cleanError) Error() string { return e.text }

// Unwrap returns the error as it was.
func (e *cleanError) Unwrap() error { return e.error }

// mendable reports whether another try might go better.
func mendable(err error) bool {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		dns      *net.DNSError
	)
	switch {
	case errors.Is(err, errRefused), errors.Is(err, context.Canceled) && !Late(err):
		return false
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// unsent reports whether a failed request cannot have reached the host.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
}

// retryStatus reports whether the same request may be answered otherwise later.
func retryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return status >= 520 && status <= 527 // Cloudflare's: the host behind it failed
}

// throttle tells the host's pace about an answer that asks for less. What the host of
// a redirect answers is not about this one.
func (t *Transport) throttle(slot *pace.Slot, sent *http.Request, resp *http.Response) {
	limited := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable
	if !limited || !sameOrigin(resp.Request.URL, sent.URL) {
		slot.Answered()
		return
	}
	hurry(resp, t.options.Limits.Refusal)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBody))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{strings.NewReader(string(body)), resp.Body}
	pause, said := pace.Delay(resp.Header, string(body), time.Now())
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && !said:
		slot.Overloaded()
		return
	case pause > t.options.Limits.Patience:
		slot.Answered() // a quota that is used up says nothing about the pace
		return
	case !said:
		pause = time.Second // no registry that answers so has a shorter window
	}
	slot.Throttled(pause)
}

// discard ends an answer that nobody reads, keeping its connection if little is left of it.
func discard(resp *http.Response) {
	hurry(resp, time.Second)
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	resp.Body.Close()
}
