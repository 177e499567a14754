package registry

import (
	"errors"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// How many times one blob is tried. The limits multiply:
//
//   - reading: each of bodyTries reads from the beginning (repeated after wrong bytes) has up
//     to bodyTries requests in a row that bring less than 256 KiB (after a connection
//     that breaks), and each request has up to wire's 7 tries (after a 5xx answer).
//     At most 4 × 4 × 7 = 112 GET requests for a blob of up to 256 KiB.
//   - writing: each of UploadTries uploads is one PUT, or one POST with the blob, that is not
//     repeated. A manifest that is refused because a blob is missing is put up to PutTries
//     times, and the blob is uploaded again before each of the later ones.
//     At most 4 × 3 = 12 requests with the blob to a repository. The POST that finds out
//     whether a host accepts the blob in it may be one more.
//
// After wrong bytes of the source an upload is repeated, and is not counted: there are up
// to bodyTries - 1 of these. Answers 429 are not counted either: internal/wire limits them,
// and an upload that ends with one is the last.
const (
	// UploadTries is the maximum number of uploads of one blob to one repository.
	UploadTries = 4
	// PutTries is the maximum number of times that a manifest is put while the
	// registry says that it does not have the content.
	PutTries = 3

	// lateUploads is the maximum number of uploads to a host that is too slow. It is
	// smaller than UploadTries because each of them may take as long.
	lateUploads = 2
)

// IsLastUpload reports whether an upload that failed is not tried again. try counts from 1.
func IsLastUpload(try int, err error) bool {
	var unopened *openError
	return try == UploadTries || IsPermanent(err) || isThrottled(err) || errors.As(err, &unopened) || wire.Late(err) && try == lateUploads
}
