package attest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// keypair signs with a key. It is a sign.Keypair.
//
// Like cosign it signs SHA-256 digests, whatever the size of the key; Ed25519 signs the
// message itself.
type keypair struct {
	crypto.Signer
	algorithm string
	details   protocommon.PublicKeyDetails
	hash      crypto.Hash // 0: of the algorithm
	pem       []byte      // of the public key
	hint      []byte
}

// readKey parses a private key in PEM form, which may be encrypted with a password. The
// password may be empty, as cosign allows.
func readKey(raw, password []byte) (*keypair, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("it is not a private key in PEM form")
	}
	encrypted := strings.HasPrefix(block.Type, "ENCRYPTED ") || block.Headers["DEK-Info"] != ""
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, func(bool) ([]byte, error) { return append([]byte{}, password...), nil })
	switch {
	case err != nil && encrypted && len(password) == 0:
		return nil, errors.New("the key is encrypted, and COSIGN_PASSWORD is not set")
	case err != nil && encrypted:
		return nil, errors.New("the key is encrypted, and COSIGN_PASSWORD is not its password")
	case err != nil && strings.HasSuffix(block.Type, "PUBLIC KEY"):
		return nil, errors.New("it is a public key: signing needs the private one")
	case err != nil:
		return nil, errors.New("it is not a private key in PEM form (PKCS #8, PKCS #1 or SEC 1)")
	}
	return newKeypair(key)
}

func newKeypair(key crypto.PrivateKey) (*keypair, error) {
	p := &keypair{hash: crypto.SHA256}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P224() {
			return nil, errors.New("keys on the curve P-224 are not supported: want P-256, P-384 or P-521")
		}
		p.Signer, p.algorithm, p.details = k, "ECDSA", protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
	case *rsa.PrivateKey:
		if bits := k.N.BitLen(); bits != 2048 && bits != 3072 && bits != 4096 {
			return nil, fmt.Errorf("RSA keys of %d bits are not supported: want 2048, 3072 or 4096", bits)
		}
		p.Signer, p.algorithm, p.details = k, "RSA", protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256
	case ed25519.PrivateKey:
		p.Signer, p.algorithm, p.details, p.hash = k, "ED25519", protocommon.PublicKeyDetails_PKIX_ED25519, 0
	default:
		return nil, fmt.Errorf("keys of type %T are not supported: want ECDSA, RSA or Ed25519", key)
	}
	var err error
	if p.pem, err = cryptoutils.MarshalPublicKeyToPEM(p.Public()); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(p.pem)
	sum := sha256.Sum256(block.Bytes)
	p.hint = []byte(base64.StdEncoding.EncodeToString(sum[:]))
	return p, nil
}

// GetHashAlgorithm returns the algorithm of the digest that is signed.
func (p *keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	if p.hash == 0 {
		return protocommon.HashAlgorithm_HASH_ALGORITHM_UNSPECIFIED
	}
	return protocommon.HashAlgorithm_SHA2_256
}

// GetSigningAlgorithm returns the algorithm of the signature.
func (p *keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails { return p.details }

// GetHint returns the name of the key in bundles.
func (p *keypair) GetHint() []byte { return p.hint }

// GetKeyAlgorithm returns the name of the algorithm in requests.
func (p *keypair) GetKeyAlgorithm() string { return p.algorithm }

// GetPublicKey returns the public key.
func (p *keypair) GetPublicKey() crypto.PublicKey { return p.Public() }

// GetPublicKeyPem returns the public key in PEM form.
func (p *keypair) GetPublicKeyPem() (string, error) { return string(p.pem), nil }

// SignData returns the signature of a message, and what was signed: its digest, or the
// message.
func (p *keypair) SignData(_ context.Context, message []byte) (signature, signed []byte, err error) {
	signed = message
	if p.hash != 0 {
		h := p.hash.New()
		h.Write(message)
		signed = h.Sum(nil)
	}
	signature, err = p.Sign(rand.Reader, signed, p.hash)
	return signature, signed, err
}
