package attest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
)

// renewBefore is the time before the end of a certificate from which a new one is used:
// the log entry and the timestamp of a signature must be within its time.
const renewBefore = 4 * time.Minute

// keyless holds the certificate of a keyless signer. It is for several signatures, since
// Fulcio limits how many it issues. The key is never written anywhere.
type keyless struct {
	mu      sync.Mutex
	current *certified
}

// certified is a key with its certificate. It is a sign.CertificateProvider.
type certified struct {
	pair     *keypair
	leaf     *x509.Certificate
	chain    [][]byte // of the authorities (DER), from that which has signed the leaf
	identity provenance.Identity
}

// GetCertificate returns the certificate (DER).
func (c *certified) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return c.leaf.Raw, nil
}

// certificate returns a certificate that is valid for long enough. If there is none, it
// gets a new one for a new key.
func (s *Signer) certificate(ctx context.Context) (*certified, error) {
	s.keyless.mu.Lock()
	defer s.keyless.mu.Unlock()
	if c := s.keyless.current; c != nil && s.o.Now().Before(c.leaf.NotAfter.Add(-renewBefore)) {
		return c, nil
	}
	token, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.request(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("getting a certificate: %w", s.clean(ctx, err))
	}
	s.keyless.current = c
	return c, nil
}

// request asks Fulcio for a certificate for a new key.
func (s *Signer) request(ctx context.Context, token string) (*certified, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	pair, err := newKeypair(key)
	if err != nil {
		return nil, err
	}
	answers := &chainReader{RoundTripper: s.transport(ctx)}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: strings.TrimSuffix(s.o.Fulcio, "/"), Timeout: -1, Transport: answers})
	raw, err := fulcio.GetCertificate(ctx, pair, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	info, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return nil, err
	}
	return &certified{pair, leaf, answers.chain, evidence.IdentityOf(&info)}, nil
}

// chainReader keeps the certificates of authorities in Fulcio's answer: the client returns
// only the first one.
type chainReader struct {
	http.RoundTripper
	chain [][]byte
}

// RoundTrip sends a request and reads its answer.
func (c *chainReader) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	type issued struct {
		Chain struct {
			Certificates []string `json:"certificates"`
		} `json:"chain"`
	}
	var answer struct {
		Embedded issued `json:"signedCertificateEmbeddedSct"`
		Detached issued `json:"signedCertificateDetachedSct"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return resp, nil // the client says so
	}
	for i, text := range append(answer.Embedded.Chain.Certificates, answer.Detached.Chain.Certificates...) {
		if block, _ := pem.Decode([]byte(text)); block != nil && i > 0 {
			c.chain = append(c.chain, block.Bytes)
		}
	}
	return resp, nil
}
