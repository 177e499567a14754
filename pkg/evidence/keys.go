package evidence

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// key verifies by a public key.
type key struct {
	id        string // "sha256:…" of the key (DER)
	verifiers []signature.Verifier
}

// KeyID returns the name that a public key in PEM form has in identities.
func KeyID(pem []byte) (string, error) {
	k, err := parseKey(pem)
	if err != nil {
		return "", fmt.Errorf("parsing the public key: %w", err)
	}
	return k.id, nil
}

// parseKey parses a public key in PEM form: ECDSA, RSA or Ed25519.
func parseKey(pem []byte) (key, error) {
	public, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	switch {
	case err != nil && bytes.Contains(pem, []byte("PRIVATE KEY-----")):
		return key{}, errors.New("it is a private key")
	case err != nil:
		return key{}, errors.New("it is not a public key in PEM form, such as cosign.pub")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return key{}, err
	}
	// Cosign signs with SHA-256 by default, whatever the key, or with the hash that fits the key.
	plain, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return key{}, err
	}
	fitting, err := signature.LoadDefaultVerifier(public)
	if err != nil {
		return key{}, err
	}
	return key{fmt.Sprintf("sha256:%x", sha256.Sum256(der)), []signature.Verifier{plain, fitting}}, nil
}

// signed reports whether the key made a signature of a message.
func (k key) signed(sig, message []byte) bool {
	for _, v := range k.verifiers {
		if v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)) == nil {
			return true
		}
	}
	return false
}
