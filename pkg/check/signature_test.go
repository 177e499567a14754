package check_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/check"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/evidence"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/provenance"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// byKey is the signer whose key is trusted.
var byKey = check.Signer{Name: "the key", Matches: provenance.Identity.IsKey}

// signed is a registry with an image, and the rule for a key.
type signed struct {
	*registrytest.Server
	apple registrytest.Object
	key   *registrytest.Key
}

func newSigned(t *testing.T, kind string, opts ...registrytest.Option) signed {
	t.Helper()
	s := signed{registrytest.New(t, opts...), registrytest.Image(1, 1), registrytest.NewKey(t, kind)}
	s.Push(t, "staging/apple", s.apple, "build")
	return s
}

func (s signed) tag() string { return strings.Replace(s.apple.Digest, ":", "-", 1) + ".sig" }

// referrer makes what refers to the image.
func (s signed) referrer(artifactType string, layers ...registrytest.Blob) registrytest.Object {
	return registrytest.Signatures(layers, registrytest.Subject(s.apple), registrytest.ArtifactType(artifactType))
}

// judge runs the rule on the image.
func (s signed) judge(t *testing.T) []check.Finding {
	t.Helper()
	client, err := registry.New(registry.Options{NoAmbient: true, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	trust, err := evidence.NewTrust(evidence.TrustOptions{Keys: [][]byte{s.key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	rule := check.Signature{Read: evidence.NewReader(evidence.Direct(client), trust), Signers: []check.Signer{byKey}}
	repo := image.NewRepository(s.Host, "staging/apple")
	return rule.Check(t.Context(), &check.Input{Images: []check.Image{{Digest: image.Hash(s.apple.Digest), From: repo}}})
}

func TestSignature(t *testing.T) {
	t.Parallel()
	const predicate, artifact, bundle = registrytest.SignPredicate, registrytest.SignatureArtifact, registrytest.SignatureBundle
	pear := registrytest.Image(2, 1)
	tests := map[string]struct {
		put  func(t *testing.T, s signed)
		want string // in the finding; empty: there is none
	}{
		"none": {func(*testing.T, signed) {}, "carries no signature"},
		"tag": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer(registrytest.Claim(s.apple.Digest))}), s.tag())
		}, ""},
		"tag of another key first, same payload": {func(t *testing.T, s signed) {
			other := registrytest.NewKey(t, "p256").Layer(registrytest.Claim(s.apple.Digest))
			mine := s.key.Layer(registrytest.Claim(s.apple.Digest))
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{other, mine}), s.tag())
		}, ""},
		"another key": {func(t *testing.T, s signed) {
			other := registrytest.NewKey(t, "p256").Layer(registrytest.Claim(s.apple.Digest))
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{other}), s.tag())
		}, "not made with the key"},
		"payload about another image": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer(registrytest.Claim(pear.Digest))}), s.tag())
		}, "the payload is about"},
		"payload of another type": {func(t *testing.T, s signed) {
			claim := bytes.Replace(registrytest.Claim(s.apple.Digest), []byte("cosign container"), []byte("atomic container"), 1)
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer(claim)}), s.tag())
		}, "of type"},
		"signature of another payload": {func(t *testing.T, s signed) {
			forged := registrytest.NewBlob(registrytest.SignaturePayload, registrytest.Claim(s.apple.Digest))
			forged.Annotations = s.key.Layer(registrytest.Claim(pear.Digest)).Annotations
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{forged}), s.tag())
		}, "not made with the key"},
		"payload that is no JSON": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer([]byte("apple"))}), s.tag())
		}, "parsing the payload"},
		"signature that is no base64": {func(t *testing.T, s signed) {
			l := s.key.Layer(registrytest.Claim(s.apple.Digest))
			l.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "!"}
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{l}), s.tag())
		}, "decoding the signature"},
		"referrer": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", s.referrer(artifact, s.key.Layer(registrytest.Claim(s.apple.Digest))))
		}, ""},
		"wrong tag, right referrer": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer(registrytest.Claim(pear.Digest))}), s.tag())
			s.Push(t, "staging/apple", s.referrer(artifact, s.key.Layer(registrytest.Claim(s.apple.Digest))))
		}, ""},
		"bundle": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", s.referrer(bundle, s.key.Bundle(registrytest.Statement(predicate, pear.Digest, s.apple.Digest))))
		}, ""},
		"bundle of another key": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", s.referrer(bundle, registrytest.NewKey(t, "p256").Bundle(registrytest.Statement(predicate, s.apple.Digest))))
		}, "not made with the key"},
		"bundle about another image": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", s.referrer(bundle, s.key.Bundle(registrytest.Statement(predicate, pear.Digest))))
		}, "about other digests"},
		"bundle that is no signature": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", s.referrer(bundle, s.key.Bundle(registrytest.Statement("https://spdx.dev/Document", s.apple.Digest))))
		}, "the statement is a"},
		"tampered bundle": {func(t *testing.T, s signed) {
			honest := s.key.Bundle(registrytest.Statement(predicate, pear.Digest))
			payloads := [2]string{inBase64(registrytest.Statement(predicate, pear.Digest)), inBase64(registrytest.Statement(predicate, s.apple.Digest))}
			forged := bytes.Replace(honest.Raw, []byte(payloads[0]), []byte(payloads[1]), 1)
			if bytes.Equal(forged, honest.Raw) {
				t.Fatal("nothing was tampered with")
			}
			s.Push(t, "staging/apple", s.referrer(bundle, registrytest.NewBlob(registrytest.SignatureBundle, forged)))
		}, "not made with the key"},
		"bundle without an envelope": {func(t *testing.T, s signed) {
			s.Push(t, "staging/apple", s.referrer(bundle, registrytest.NewBlob(registrytest.SignatureBundle, []byte(`{"messageSignature":{}}`))))
		}, "no DSSE envelope"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSigned(t, "p256")
			tc.put(t, s)
			expect(t, s.judge(t), check.Error, tc.want)
		})
	}
}

// expect compares findings with the one that is wanted, if any.
func expect(t *testing.T, found []check.Finding, level check.Level, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) == 0:
	case want != "" && len(found) == 1 && found[0].Level == level && strings.Contains(found[0].Message, want):
	default:
		t.Errorf("found %+v, want %s %q", found, level, want)
	}
}

func TestSignatureKeys(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSigned(t, kind)
			s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer(registrytest.Claim(s.apple.Digest))}), s.tag())
			expect(t, s.judge(t), 0, "")
			bundled := newSigned(t, kind)
			bundled.Push(t, "staging/apple", bundled.referrer(registrytest.SignatureBundle,
				bundled.key.Bundle(registrytest.Statement(registrytest.SignPredicate, bundled.apple.Digest))))
			expect(t, bundled.judge(t), 0, "")
		})
	}
}

// TestSignatureFallback holds signatures in registries without referrers.
func TestSignatureFallback(t *testing.T) {
	t.Parallel()
	s := newSigned(t, "p256", registrytest.Distribution())
	expect(t, s.judge(t), check.Error, "carries no signature")
	sig := s.referrer(registrytest.SignatureArtifact, s.key.Layer(registrytest.Claim(s.apple.Digest)))
	s.Push(t, "staging/apple", registrytest.Index([]registrytest.Object{sig}), strings.Replace(s.apple.Digest, ":", "-", 1))
	expect(t, s.judge(t), 0, "")
}

// TestSignatureUnread takes nothing unread for good, nor for absent; a signature that
// verifies is enough, whatever else cannot be read.
func TestSignatureUnread(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]registrytest.Kind{"tag": registrytest.ManifestGet, "referrers": registrytest.Referrers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSigned(t, "p256")
			s.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(kind))
			expect(t, s.judge(t), check.Failed, "DENIED")
		})
	}
	s := newSigned(t, "p256")
	s.Push(t, "staging/apple", registrytest.Signatures([]registrytest.Blob{s.key.Layer(registrytest.Claim(s.apple.Digest))}), s.tag())
	s.Fault(registrytest.Refuse(http.StatusForbidden, "DENIED", "no"), registrytest.Is(registrytest.Referrers))
	expect(t, s.judge(t), 0, "")
	if n := s.Count(); n != 3 { // ping, manifest, payload
		t.Errorf("got %d requests for a signature under its tag, want 3\n%s", n, s.Summary())
	}
	s.Fault(registrytest.Refuse(http.StatusNotFound, "BLOB_UNKNOWN", "no"), registrytest.Is(registrytest.BlobGet))
	expect(t, s.judge(t), check.Failed, "BLOB_UNKNOWN")
}

// TestSignatureElsewhere finds a signature in another place that knows of the image.
func TestSignatureElsewhere(t *testing.T) {
	t.Parallel()
	places := fixed{
		"mirror/apple":  {{err: errors.New("no answer")}},
		"staging/apple": {{Signature: provenance.Signature{Where: "staging/apple:1", Invalid: "it is wrong"}}, {Signature: provenance.Signature{By: keyed}}},
	}
	rule := check.Signature{Read: places, Signers: []check.Signer{byKey}}
	im := check.Image{Digest: image.Hash(digestA), From: repo("mirror/apple"), Also: []name.Repository{repo("staging/apple")}}
	expect(t, rule.Check(t.Context(), &check.Input{Images: []check.Image{im}}), 0, "")
	im.Also = nil
	expect(t, rule.Check(t.Context(), &check.Input{Images: []check.Image{im}}), check.Failed, "no answer")
}

var (
	keyed     = provenance.Identity{Key: "sha256:00"}
	certified = provenance.Identity{SAN: "builder@example.com", Issuer: "https://accounts.google.com"}
	stranger  = provenance.Identity{SAN: "stranger@example.com", Issuer: "https://accounts.google.com"}
)

// TestSignatureOfSigners demands a signature of each signer.
func TestSignatureOfSigners(t *testing.T) {
	t.Parallel()
	byCertificate := check.Signer{Name: "builder@example.com", Matches: func(id provenance.Identity) bool { return id == certified }}
	key, certificate, both := []check.Signer{byKey}, []check.Signer{byCertificate}, []check.Signer{byKey, byCertificate}
	for name, tc := range map[string]struct {
		signers []check.Signer
		by      []provenance.Identity
		want    string
	}{
		"key":                          {key, []provenance.Identity{keyed}, ""},
		"certificate":                  {certificate, []provenance.Identity{certified}, ""},
		"key, and a stranger":          {key, []provenance.Identity{stranger, keyed}, ""},
		"a stranger instead":           {certificate, []provenance.Identity{stranger}, `carries no signature that verifies: : it was made by "stranger@example.com" of "https://accounts.google.com"`},
		"a key instead":                {certificate, []provenance.Identity{keyed}, `it was made by the key "sha256:00"`},
		"both":                         {both, []provenance.Identity{certified, keyed}, ""},
		"both, by the key alone":       {both, []provenance.Identity{keyed, keyed}, "carries no signature of builder@example.com"},
		"both, by the identity alone":  {both, []provenance.Identity{certified}, "carries no signature of the key"},
		"both, by nobody":              {both, nil, "carries no signature of the key"},
		"both, by key and by stranger": {both, []provenance.Identity{keyed, stranger}, "carries no signature of builder@example.com that verifies: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places := fixed{}
			for _, by := range tc.by {
				places["staging/apple"] = append(places["staging/apple"], attached{Signature: provenance.Signature{By: by}})
			}
			rule := check.Signature{Read: places, Signers: tc.signers}
			im := check.Image{Digest: image.Hash(digestA), From: repo("staging/apple")}
			expect(t, rule.Check(t.Context(), &check.Input{Images: []check.Image{im}}), check.Error, tc.want)
		})
	}
}

// attached is what reading a signature returns.
type attached struct {
	provenance.Signature
	err error
}

// fixed are signatures by repository path.
type fixed map[string][]attached

func (f fixed) Signatures(_ context.Context, repo name.Repository, _ v1.Hash) iter.Seq2[provenance.Signature, error] {
	return func(yield func(provenance.Signature, error) bool) {
		for _, s := range f[repo.RepositoryStr()] {
			if !yield(s.Signature, s.err) {
				return
			}
		}
	}
}

// TestSignatureOfTwoReadings takes no payload that two readers may read differently,
// no matter who signed it.
func TestSignatureOfTwoReadings(t *testing.T) {
	t.Parallel()
	twice := func(raw []byte, name string) []byte {
		return bytes.Replace(raw, []byte(`"`+name+`":`), []byte(`"`+strings.ToUpper(name)+`":null,"`+name+`":`), 1)
	}
	for name, kind := range map[string]func(signed) registrytest.Object{
		"payload": func(s signed) registrytest.Object {
			return s.referrer(registrytest.SignatureArtifact, s.key.Layer(twice(registrytest.Claim(s.apple.Digest), "critical")))
		},
		"statement": func(s signed) registrytest.Object {
			return s.referrer(registrytest.SignatureBundle, s.key.Bundle(twice(registrytest.Statement(registrytest.SignPredicate, s.apple.Digest), "predicateType")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSigned(t, "p256")
			s.Push(t, "staging/apple", kind(s))
			expect(t, s.judge(t), check.Error, "is repeated")
		})
	}
}

// TestSignatureIfPresent accepts images without a signature, and refuses wrong ones.
func TestSignatureIfPresent(t *testing.T) {
	t.Parallel()
	byCertificate := check.Signer{Name: "builder@example.com", Matches: func(id provenance.Identity) bool { return id == certified }}
	for name, tc := range map[string]struct {
		has  []provenance.Signature
		want string
	}{
		"none":                                {nil, ""},
		"tag of the signer":                   {[]provenance.Signature{{By: certified}}, ""},
		"tag of a stranger":                   {[]provenance.Signature{{By: stranger}}, "it was made by"},
		"tag of both":                         {[]provenance.Signature{{By: stranger}, {By: certified}}, ""},
		"tag that is not valid":               {[]provenance.Signature{{Invalid: "it is wrong"}}, "it is wrong"},
		"bundle of the signer":                {[]provenance.Signature{{Bundle: true, By: certified}}, ""},
		"bundle of a stranger":                {[]provenance.Signature{{Bundle: true, By: stranger}}, ""},
		"bundle of nobody":                    {[]provenance.Signature{{Bundle: true, Invalid: "it is wrong"}}, ""},
		"bundle that only names the signer":   {[]provenance.Signature{{Bundle: true, Invalid: "it is wrong", Claims: certified}}, "it is wrong"},
		"bundle that only names somebody":     {[]provenance.Signature{{Bundle: true, Invalid: "it is wrong", Claims: stranger}}, ""},
		"bundle of nobody, tag of a stranger": {[]provenance.Signature{{By: stranger}, {Bundle: true, Invalid: "it is wrong"}}, "it was made by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places := fixed{}
			for _, a := range tc.has {
				places["staging/apple"] = append(places["staging/apple"], attached{Signature: a})
			}
			rule := check.Signature{Read: places, Signers: []check.Signer{byCertificate}, IfPresent: true}
			im := check.Image{Digest: image.Hash(digestA), From: repo("staging/apple")}
			level := check.Error
			if tc.want == "" {
				level = 0
			}
			expect(t, rule.Check(t.Context(), &check.Input{Images: []check.Image{im}}), level, tc.want)
		})
	}
	unread := check.Signature{Read: fixed{"staging/apple": {{err: errors.New("no answer")}}}, Signers: []check.Signer{byCertificate}, IfPresent: true}
	im := check.Image{Digest: image.Hash(digestA), From: repo("staging/apple")}
	expect(t, unread.Check(t.Context(), &check.Input{Images: []check.Image{im}}), check.Failed, "no answer")
}
