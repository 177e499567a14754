package registry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// statusOf returns the HTTP status of the answer that an error is about, or 0.
func statusOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// IsDamaged reports whether an error is that a registry has other content under the
// digest of a blob.
func IsDamaged(err error) bool {
	var damaged *damagedError
	return errors.As(err, &damaged)
}

// IsPermanent reports whether a registry would refuse the same upload again: the
// caller may not write, a quota is used up, or the registry does not accept such a blob.
func IsPermanent(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return true
	}
	return e.UsedUp()
}

// Interruption returns the reason for an error that is the end of a context, or "" for
// another one.
func Interruption(ctx context.Context, err error) string {
	var unanswered *wire.UnansweredError // the registry may have carried the request out
	switch {
	case ctx.Err() != nil && errors.As(err, &unanswered):
		return err.Error()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return "interrupted"
	}
	return ""
}

// isMethodRefused reports whether a host does not answer requests of a method, such as HEAD.
func isMethodRefused(err error) bool {
	status := statusOf(err)
	return status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

// isThrottled reports whether all tries of a request were answered with 429.
func isThrottled(err error) bool { return statusOf(err) == http.StatusTooManyRequests }

// IsContentMissing reports whether a registry refused a manifest because it does not
// have something that the manifest refers to. The answer has an error code of the
// distribution specification that says so, or it names one of the digests.
func IsContentMissing(err error, digests []string) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN":
		return true
	}
	switch e.Status {
	case http.StatusNotFound:
		return e.Code != "NAME_UNKNOWN"
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	}
	text := e.Message + e.Detail
	return slices.ContainsFunc(digests, func(d string) bool { return strings.Contains(text, d) })
}
