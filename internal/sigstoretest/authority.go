package sigstoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"strings"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

const (
	codeSigning  = x509.ExtKeyUsageCodeSigning
	timeStamping = x509.ExtKeyUsageTimeStamping
)

// sctListOID is the extension with signed certificate timestamps (RFC 6962, section 3.3).
var sctListOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// Identity is what a certificate says about its owner.
type Identity struct {
	SAN              string // a mail address, or a URI
	Issuer           string // OpenID Connect issuer
	SourceRepository string // of a workflow: https://github.com/ORG/REPO
	BuildConfig      string // of a workflow: https://github.com/ORG/REPO/PATH@REF
}

// authority is a root and an intermediate certificate, with the key of the latter.
type authority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey
}

func (s *Sigstore) newAuthority(name string, usage x509.ExtKeyUsage) authority {
	s.t.Helper()
	template := func(common string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: s.serial(), Subject: pkix.Name{CommonName: common, Organization: []string{"sigstoretest"}},
			NotBefore: s.now.Add(-lifetime), NotAfter: s.now.Add(lifetime),
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		}
	}
	rootKey, key := s.newKey(), s.newKey()
	top := template(name + " root")
	root := s.issue(top, top, rootKey.Public(), rootKey)
	below := template(name + " intermediate")
	below.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	return authority{root, s.issue(below, root, key.Public(), rootKey), key}
}

func (s *Sigstore) serial() *big.Int {
	s.t.Helper()
	const bits = 120 // of a certificate's serial number, which has at most 20 bytes
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	s.check(err)
	return n
}

// issue signs a certificate with the key of its parent.
func (s *Sigstore) issue(template, parent *x509.Certificate, public crypto.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	s.t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	s.check(err)
	c, err := x509.ParseCertificate(raw)
	s.check(err)
	return c
}

// certificate issues a certificate for ten minutes, as Fulcio does. It has an SCT if logged is true.
func (s *Sigstore) certificate(public crypto.PublicKey, id Identity, from time.Time, logged bool) *x509.Certificate {
	s.t.Helper()
	template := &x509.Certificate{
		SerialNumber: s.serial(), NotBefore: from, NotAfter: from.Add(certificateLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{codeSigning},
		ExtraExtensions: s.extensions(id),
	}
	if strings.Contains(id.SAN, "://") {
		u, err := url.Parse(id.SAN)
		s.check(err)
		template.URIs = []*url.URL{u}
	} else {
		template.EmailAddresses = []string{id.SAN}
	}
	leaf := s.issue(template, s.ca.intermediate, public, s.ca.key)
	if !logged {
		return leaf
	}
	template.ExtraExtensions = append(template.ExtraExtensions, s.sctList(leaf, from))
	return s.issue(template, s.ca.intermediate, public, s.ca.key)
}

// extensions returns what Fulcio adds to a certificate.
func (s *Sigstore) extensions(id Identity) []pkix.Extension {
	s.t.Helper()
	out := []pkix.Extension{{Id: certificate.OIDIssuer, Value: []byte(id.Issuer)}} //nolint:staticcheck // Fulcio writes the old extension, too
	for _, e := range []struct {
		oid   asn1.ObjectIdentifier
		value string
	}{
		{certificate.OIDIssuerV2, id.Issuer},
		{certificate.OIDSourceRepositoryURI, id.SourceRepository},
		{certificate.OIDBuildConfigURI, id.BuildConfig},
	} {
		if e.value == "" {
			continue
		}
		value, err := asn1.MarshalWithParams(e.value, "utf8")
		s.check(err)
		out = append(out, pkix.Extension{Id: e.oid, Value: value})
	}
	return out
}

// sctList returns the extension with the promise of the certificate log to list a
// certificate, which is signed for the certificate without that extension.
func (s *Sigstore) sctList(leaf *x509.Certificate, at time.Time) pkix.Extension {
	s.t.Helper()
	chain, err := ctx509.ParseCertificates(append(leaf.Raw[:len(leaf.Raw):len(leaf.Raw)], s.ca.intermediate.Raw...))
	s.check(err)
	sct := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1, LogID: ct.LogID{KeyID: s.logID(s.ctlog)}, Timestamp: uint64(at.UnixMilli()),
	}
	entry := ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
		Version: ct.V1, LeafType: ct.TimestampedEntryLeafType,
		TimestampedEntry: &ct.TimestampedEntry{
			EntryType: ct.PrecertLogEntryType, Timestamp: sct.Timestamp,
			PrecertEntry: &ct.PreCert{
				IssuerKeyHash:  sha256.Sum256(chain[1].RawSubjectPublicKeyInfo),
				TBSCertificate: leaf.RawTBSCertificate,
			},
		},
	}}
	input, err := ct.SerializeSCTSignatureInput(sct, entry)
	s.check(err)
	signed, err := tls.CreateSignature(*s.ctlog, tls.SHA256, input)
	s.check(err)
	sct.Signature = ct.DigitallySigned(signed)
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	s.check(err)
	raw, err := tls.Marshal(*list)
	s.check(err)
	value, err := asn1.Marshal(raw)
	s.check(err)
	return pkix.Extension{Id: sctListOID, Value: value}
}
