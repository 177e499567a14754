package attest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// jwt returns a token with claims.
func jwt(t *testing.T, claims string) string {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + "." + part([]byte("nobody"))
}

// lock encrypts a private key as cosign does.
func lock(t *testing.T, key []byte, password string) []byte {
	t.Helper()
	block, _ := pem.Decode(key)
	raw, err := encrypted.Encrypt(block.Bytes, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: raw})
}

// weakRSA returns a key that is too short.
func weakRSA(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}
