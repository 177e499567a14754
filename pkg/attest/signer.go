package attest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	rekor "github.com/sigstore/rekor/pkg/client"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

// The services of sigstore's public instance.
const (
	PublicFulcio    = "https://fulcio.sigstore.dev"
	PublicRekor     = "https://rekor.sigstore.dev"
	PublicTimestamp = "https://timestamp.sigstore.dev/api/v1/timestamp"
)

const (
	signWithin = 2 * time.Minute        // all requests for one signature
	rekorTries = 3                      // in addition to the first one
	rekorWait  = 500 * time.Millisecond // before the second try; it grows
	rekorMost  = 5 * time.Second        // that it grows to
)

// SignerOptions says how to sign.
//
// With a key, nothing is contacted but the log and the timestamp authority that are
// given. Without one, a token proves the identity to Fulcio, which issues certificates.
type SignerOptions struct {
	Key      []byte                                // private key in PEM form, plain or encrypted as cosign does
	KeyName  string                                // of the key, in errors
	Password []byte                                // of the key
	Token    func(context.Context) (string, error) // OpenID Connect token for sigstore

	Fulcio, Rekor, Timestamp string // addresses; that of the timestamp authority has a path

	UserAgent string
	Transport *http.Transport // of all requests; nil: the default
	Now       func() time.Time
}

// Signer signs statements and images.
//
// It is safe for concurrent use.
type Signer struct {
	o       SignerOptions
	key     *keypair // nil: a new key for each certificate
	id      provenance.Identity
	log     sign.Transparency
	keyless keyless
	secrets *secret.Set
}

// NewSigner returns a signer that is usable: its key could be read, or there was a token.
// It contacts neither Fulcio nor a log.
func NewSigner(ctx context.Context, o SignerOptions) (*Signer, error) {
	s := &Signer{o: o, secrets: &secret.Set{}}
	for flag, address := range map[string]string{"--fulcio-url": o.Fulcio, "--rekor-url": o.Rekor, "--timestamp-url": o.Timestamp} {
		if err := checkURL(address); err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
	}
	if o.Rekor != "" {
		log, err := s.transparency()
		if err != nil {
			return nil, err
		}
		s.log = log
	}
	var err error
	if len(o.Key) > 0 {
		s.secrets.Add(string(o.Password))
		if s.key, err = readKey(o.Key, o.Password); err != nil {
			return nil, fmt.Errorf("reading %s: %w", cmp.Or(o.KeyName, "the key"), err)
		}
		s.id.Key, err = evidence.KeyID(s.key.pem)
		return s, err
	}
	token, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	s.id, err = identityOf(token)
	return s, err
}

// checkURL returns an error unless an address is empty, or one of http or https without a
// password.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return nil
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return errors.New("bad address: want https://HOST")
	case u.User != nil:
		return errors.New("bad address: it has a user, and nothing would use it")
	}
	return nil
}

// Expected returns whose signatures these will be: the key, or the identity that Fulcio
// usually reads from the token. It contacts nothing.
func (s *Signer) Expected() provenance.Identity { return s.id }

// Public returns the public key in PEM form, or nil if the signer is keyless.
func (s *Signer) Public() []byte {
	if s.key == nil {
		return nil
	}
	return s.key.pem
}

// Identity returns whose signatures these are. A keyless signer reads it from a
// certificate.
func (s *Signer) Identity(ctx context.Context) (provenance.Identity, error) {
	if s.key != nil {
		return s.id, nil
	}
	c, err := s.certificate(ctx)
	if err != nil {
		return provenance.Identity{}, err
	}
	return c.identity, nil
}

// SignStatement signs an in-toto statement, and returns the bundle (JSON).
func (s *Signer) SignStatement(ctx context.Context, statement []byte) ([]byte, error) {
	b, _, err := s.sign(ctx, &sign.DSSEData{Data: statement, PayloadType: image.InTotoStatement})
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(b)
}

// sign signs content. It returns the certificate too, if there is one.
func (s *Signer) sign(ctx context.Context, content sign.Content) (*protobundle.Bundle, *certified, error) {
	ctx, cancel := context.WithTimeout(ctx, signWithin)
	defer cancel()
	pair, o := sign.Keypair(s.key), sign.BundleOptions{Context: ctx}
	var by *certified
	if s.key == nil {
		c, err := s.certificate(ctx)
		if err != nil {
			return nil, nil, err
		}
		pair, o.CertificateProvider, by = c.pair, c, c
	}
	if s.log != nil {
		o.TransparencyLogs = []sign.Transparency{s.log}
	}
	if s.o.Timestamp != "" {
		o.TimestampAuthorities = []*sign.TimestampAuthority{
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.o.Timestamp, Timeout: -1, Transport: s.transport(ctx)}),
		}
	}
	b, err := sign.Bundle(content, pair, o)
	if err != nil {
		return nil, nil, s.clean(ctx, err)
	}
	return b, by, nil
}

// transparency returns the client of the log. It has the certificates and the proxy of
// the transport.
func (s *Signer) transparency() (sign.Transparency, error) {
	o := []rekor.Option{
		rekor.WithUserAgent(s.o.UserAgent), rekor.WithRetryCount(rekorTries), rekor.WithRetryWaitMin(rekorWait), rekor.WithRetryWaitMax(rekorMost),
	}
	if s.o.Transport != nil {
		o = append(o, rekor.WithTLSConfig(s.o.Transport.TLSClientConfig))
	}
	client, err := rekor.GetRekorClient(strings.TrimSuffix(s.o.Rekor, "/"), o...)
	if err != nil {
		return nil, fmt.Errorf("--rekor-url: %w", err)
	}
	// With a timeout of zero, concurrent signatures would set the default at the same time.
	return sign.NewRekor(&sign.RekorOptions{Client: client.Entries, Timeout: signWithin}), nil
}

// clean removes tokens and passwords from an error that quotes an answer.
func (s *Signer) clean(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", s.secrets.Redact(err.Error()), ctx.Err())
	}
	return errors.New(s.secrets.Redact(err.Error()))
}
