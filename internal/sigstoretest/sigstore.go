package sigstoretest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
)

// Hosts by which the trusted root knows the services. Nothing listens there.
const (
	fulcioURL    = "https://fulcio.test"
	rekorURL     = "https://rekor.test"
	ctlogURL     = "https://ctlog.test"
	timestampURL = "https://timestamp.test"
)

// TB is the part of testing.TB that the package uses.
type TB interface {
	registrytest.TB
	Context() context.Context
}

// Sigstore is a certificate authority with its log of certificates, a transparency log
// and a timestamp authority, each with keys of its own.
type Sigstore struct {
	t     TB
	now   time.Time // of all signatures, unless an option says otherwise
	ca    authority
	tsa   timestamper
	ctlog *ecdsa.PrivateKey
	log   *log
}

// New makes a sigstore. Two of them do not trust each other.
func New(t TB) *Sigstore {
	t.Helper()
	s := &Sigstore{t: t, now: time.Now().Truncate(time.Second)}
	s.ca = s.newAuthority("fulcio", codeSigning)
	s.tsa = s.newTimestamper()
	s.ctlog = s.newKey()
	s.log = s.newLog()
	return s
}

// check ends the test if there is an error.
func (s *Sigstore) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("sigstoretest: %v", err)
	}
}

func (s *Sigstore) newKey() *ecdsa.PrivateKey {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.check(err)
	return key
}

// lifetime is the time for which authorities and logs are valid, before and after now.
//
// It leaves room for signatures with certificates that expired long ago.
const lifetime = 10 * 365 * 24 * time.Hour

// TrustedRoot returns trusted_root.json of the whole sigstore, like the public one.
func (s *Sigstore) TrustedRoot() []byte {
	s.t.Helper()
	rekor := s.transparencyLog(rekorURL, s.log.key)
	ct := s.transparencyLog(ctlogURL, s.ctlog)
	return s.trustedRoot(map[string]*root.TransparencyLog{hex.EncodeToString(ct.ID): ct},
		map[string]*root.TransparencyLog{hex.EncodeToString(rekor.ID): rekor})
}

// TimestampOnlyRoot returns trusted_root.json without logs, like GitHub's.
func (s *Sigstore) TimestampOnlyRoot() []byte {
	s.t.Helper()
	return s.trustedRoot(nil, nil)
}

func (s *Sigstore) trustedRoot(ct, rekor map[string]*root.TransparencyLog) []byte {
	s.t.Helper()
	start, end := s.now.Add(-lifetime), s.now.Add(lifetime)
	ca := &root.FulcioCertificateAuthority{
		URI: fulcioURL, Root: s.ca.root, Intermediates: []*x509.Certificate{s.ca.intermediate}, ValidityPeriodStart: start, ValidityPeriodEnd: end,
	}
	tsa := &root.SigstoreTimestampingAuthority{
		URI: timestampURL, Root: s.tsa.root, Intermediates: []*x509.Certificate{s.tsa.intermediate}, Leaf: s.tsa.leaf, ValidityPeriodStart: start, ValidityPeriodEnd: end,
	}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{ca}, ct, []root.TimestampingAuthority{tsa}, rekor)
	s.check(err)
	raw, err := r.MarshalJSON()
	s.check(err)
	return raw
}

func (s *Sigstore) transparencyLog(url string, key *ecdsa.PrivateKey) *root.TransparencyLog {
	s.t.Helper()
	id := s.logID(key)
	return &root.TransparencyLog{
		BaseURL: url, ID: id[:], PublicKey: key.Public(), HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256,
		ValidityPeriodStart: s.now.Add(-lifetime), ValidityPeriodEnd: s.now.Add(lifetime),
	}
}

// logID returns the identifier of a log (RFC 6962, section 3.2).
func (s *Sigstore) logID(key *ecdsa.PrivateKey) [sha256.Size]byte {
	s.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	s.check(err)
	return sha256.Sum256(der)
}
