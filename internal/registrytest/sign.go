package registrytest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
)

// The types by which cosign's signatures are known.
const (
	SignatureArtifact = string(image.CosignSignature)
	SignaturePayload  = string(image.CosignSimpleSigning)
	SignatureBundle   = string(image.SigstoreBundle)
	SignPredicate     = image.CosignPredicate
)

// Key is a key pair that signs images like cosign.
type Key struct {
	t       TB
	signer  signature.SignerVerifier
	private crypto.PrivateKey
}

// NewKey makes a key pair: p256, p384, rsa or ed25519.
func NewKey(t TB, kind string) *Key {
	t.Helper()
	var private crypto.PrivateKey
	var err error
	switch kind {
	case "p256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no kind of key %q", kind)
	}
	k := &Key{t: t, private: private}
	if err == nil {
		k.signer, err = signature.LoadSignerVerifier(private, crypto.SHA256)
	}
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return k
}

// Public returns the public key in PEM form.
func (k *Key) Public() []byte {
	k.t.Helper()
	public, err := k.signer.PublicKey()
	if err != nil {
		k.t.Fatalf("registrytest: %v", err)
	}
	raw, err := cryptoutils.MarshalPublicKeyToPEM(public)
	if err != nil {
		k.t.Fatalf("registrytest: %v", err)
	}
	return raw
}

// Private returns the private key in PEM form (PKCS #8), not encrypted.
func (k *Key) Private() []byte {
	k.t.Helper()
	raw, err := cryptoutils.MarshalPrivateKeyToPEM(k.private)
	if err != nil {
		k.t.Fatalf("registrytest: %v", err)
	}
	return raw
}

// Claim returns the simple signing document that cosign signs for a digest.
func Claim(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.example.com/image"},`+
		`"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
}

// Statement returns the in-toto statement that a bundle signs about digests, with a predicate.
func Statement(predicate string, digests ...string) []byte {
	type subject struct {
		Digest map[string]string `json:"digest"`
	}
	s := struct {
		Type      string    `json:"_type"`
		Subject   []subject `json:"subject"`
		Predicate string    `json:"predicateType"`
	}{Type: "https://in-toto.io/Statement/v1", Predicate: predicate}
	for _, d := range digests {
		s.Subject = append(s.Subject, subject{map[string]string{"sha256": d[len("sha256:"):]}})
	}
	return marshal(s)
}

// Layer returns a layer that is a payload, with its signature in an annotation.
func (k *Key) Layer(payload []byte) Blob {
	k.t.Helper()
	b := NewBlob(SignaturePayload, payload)
	b.Annotations = map[string]string{image.CosignSignatureAnnotation: base64.StdEncoding.EncodeToString(k.Sign(payload))}
	return b
}

// Sign signs a message.
func (k *Key) Sign(message []byte) []byte {
	k.t.Helper()
	sig, err := k.signer.SignMessage(bytes.NewReader(message))
	if err != nil {
		k.t.Fatalf("signing: %v", err)
	}
	return sig
}

// Bundle returns a statement's sigstore bundle as a layer.
func (k *Key) Bundle(statement []byte) Blob {
	k.t.Helper()
	envelope, err := dsse.WrapSigner(k.signer, image.InTotoStatement).SignMessage(bytes.NewReader(statement))
	if err != nil {
		k.t.Fatalf("signing: %v", err)
	}
	return NewBlob(SignatureBundle, marshal(struct {
		MediaType    string          `json:"mediaType"`
		Verification map[string]any  `json:"verificationMaterial"`
		Envelope     json.RawMessage `json:"dsseEnvelope"`
	}{SignatureBundle, map[string]any{"publicKey": map[string]string{"hint": "key"}}, envelope}))
}

// Signatures makes the manifest that holds signatures, to be put under a tag, or with
// Subject and ArtifactType to refer to what is signed.
func Signatures(layers []Blob, opts ...BuildOption) Object {
	b := newBuild(opts)
	var ids []string
	for _, l := range layers {
		ids = append(ids, l.Digest)
	}
	o := b.image(b.config(0, ids), layers)
	o.Platform = ""
	return o
}

// Attached makes the manifest of layers that refer to a subject, with the empty config.
func Attached(layers []Blob, opts ...BuildOption) Object {
	b := newBuild(opts)
	o := b.image(b.blob(types.OCIEmptyJSON, []byte("{}")), layers)
	o.Platform = ""
	return o
}
