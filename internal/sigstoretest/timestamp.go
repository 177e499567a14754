package sigstoretest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"github.com/digitorus/timestamp"
)

// Object identifiers of timestamps.
var (
	extKeyUsageOID     = asn1.ObjectIdentifier{2, 5, 29, 37}
	timeStampingOID    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	timestampPolicyOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}
)

// timestamper is a timestamp authority (RFC 3161).
type timestamper struct {
	authority
	leaf *x509.Certificate
	key  *ecdsa.PrivateKey // of leaf
}

func (s *Sigstore) newTimestamper() timestamper {
	s.t.Helper()
	a := s.newAuthority("timestamp", timeStamping)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{timeStampingOID})
	s.check(err)
	key := s.newKey()
	leaf := s.issue(&x509.Certificate{
		SerialNumber: s.serial(), Subject: pkix.Name{CommonName: "timestamp"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: s.now.Add(-lifetime), NotAfter: s.now.Add(lifetime),
		ExtraExtensions: []pkix.Extension{{Id: extKeyUsageOID, Critical: true, Value: usage}}, // critical: RFC 3161, section 2.3
	}, a.intermediate, key.Public(), a.key)
	return timestamper{a, leaf, key}
}

// timestamp returns the response for a signature.
func (s *Sigstore) timestamp(signature []byte, at time.Time) []byte {
	s.t.Helper()
	request, err := timestamp.CreateRequest(bytes.NewReader(signature), &timestamp.RequestOptions{Hash: crypto.SHA256})
	s.check(err)
	response, err := s.tsa.respond(request, at)
	s.check(err)
	return response
}

// respond answers a request (DER).
func (a timestamper) respond(request []byte, at time.Time) ([]byte, error) {
	r, err := timestamp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: r.HashAlgorithm, HashedMessage: r.HashedMessage, Nonce: r.Nonce, Time: at,
		Policy: timestampPolicyOID, AddTSACertificate: r.Certificates, ExtraExtensions: r.Extensions,
	}
	return stamp.CreateResponseWithOpts(a.leaf, a.key, crypto.SHA256)
}
