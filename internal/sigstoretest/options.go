package sigstoretest

import (
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

const (
	certificateLifetime = 10 * time.Minute        // of Fulcio's certificates
	longAgo             = 365 * 24 * time.Hour    // since expired certificates were made
	late                = 2 * certificateLifetime // after the certificate was made
	inTotoType          = "application/vnd.in-toto+json"
)

// Option changes a signature.
type Option func(*options)

type options struct {
	noSCT, noLog, noPromise, noTimestamp bool

	from        time.Time // when the certificate begins
	at          time.Time // of the log entry and the timestamp
	logged      []byte    // statement or payload that the log entry is about
	signatures  int
	payloadType string
	key         *registrytest.Key
	tampered    bool
}

func (s *Sigstore) options(opts []Option) *options {
	o := &options{from: s.now.Add(-time.Minute), at: s.now, signatures: 1, payloadType: inTotoType}
	for _, set := range opts {
		set(o)
	}
	return o
}

// WithoutSCT leaves the signed certificate timestamp out of the certificate.
func WithoutSCT() Option { return func(o *options) { o.noSCT = true } }

// WithoutLog leaves the entry of the transparency log out.
func WithoutLog() Option { return func(o *options) { o.noLog = true } }

// WithoutPromise leaves out the log's signature of the time of the entry.
func WithoutPromise() Option { return func(o *options) { o.noPromise = true } }

// WithoutTimestamp leaves the timestamp of the authority out.
func WithoutTimestamp() Option { return func(o *options) { o.noTimestamp = true } }

// Expired signs a year ago, with a certificate of that time.
func Expired() Option {
	return func(o *options) { o.from, o.at = o.from.Add(-longAgo), o.at.Add(-longAgo) }
}

// Late signs after the certificate has expired.
func Late() Option { return func(o *options) { o.at = o.from.Add(late) } }

// LogEntryFor has an entry of the transparency log, made with the same certificate, for
// another statement.
func LogEntryFor(statement []byte) Option { return func(o *options) { o.logged = statement } }

// Signatures puts a number of signatures into the envelope, all by the same certificate.
// With none, leave the log entry and the timestamp out, too.
func Signatures(n int) Option { return func(o *options) { o.signatures = n } }

// PayloadType signs an envelope of another type.
func PayloadType(t string) Option { return func(o *options) { o.payloadType = t } }

// SignedBy signs with a key instead of a certificate.
func SignedBy(k *registrytest.Key) Option { return func(o *options) { o.key = k } }

// Tampered changes what was signed after it was signed.
func Tampered() Option { return func(o *options) { o.tampered = true } }
