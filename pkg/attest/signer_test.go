package attest_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"sigs.k8s.io/k8s-container-image-promoter/internal/registrytest"
	"sigs.k8s.io/k8s-container-image-promoter/internal/sigstoretest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/attest"
)

const digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

var owner = sigstoretest.Identity{SAN: "promoter@example.com", Issuer: "https://accounts.example.com"}

// keyless returns the options of a keyless signer of a sigstore.
func keyless(s *sigstoretest.Sigstore, id sigstoretest.Identity) attest.SignerOptions {
	return attest.SignerOptions{
		Token:  func(context.Context) (string, error) { return s.Token(id), nil },
		Fulcio: s.FulcioURL(), Rekor: s.RekorURL(), Timestamp: s.TimestampURL(), Now: time.Now,
	}
}

func newSigner(t *testing.T, o attest.SignerOptions) *attest.Signer {
	t.Helper()
	s, err := attest.NewSigner(t.Context(), o)
	if err != nil {
		t.Fatalf("got %v, want a signer", err)
	}
	return s
}

// TestKeyless signs in process: certificate, log entry and timestamp satisfy a root with logs.
func TestKeyless(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	signer := newSigner(t, keyless(s, owner))
	raw, err := signer.SignStatement(t.Context(), registrytest.Statement("https://example.com/type", digest))
	if err != nil {
		t.Fatalf("got %v, want a bundle", err)
	}
	trusted, err := root.NewTrustedRootFromJSON(s.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1), verify.WithSignedTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	sum, _ := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	result, err := v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", sum), verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		t.Fatalf("got %v, want a bundle that verifies\n%s", err, raw)
	}
	if got := result.Signature.Certificate.SubjectAlternativeName; got != owner.SAN {
		t.Errorf("got signer %s, want %s", got, owner.SAN)
	}
	id, err := signer.Identity(t.Context())
	if err != nil || id != signer.Expected() || id.SAN != owner.SAN || id.Issuer != owner.Issuer {
		t.Errorf("got identity %+v and %v, expected %+v, want that of the token", id, err, signer.Expected())
	}
}

// TestKeylessIsFrugal gets one certificate for many signatures, and a new one before it expires.
func TestKeylessIsFrugal(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	var tokens atomic.Int32
	var now atomic.Pointer[time.Time]
	begin := time.Now()
	now.Store(&begin)
	o := keyless(s, owner)
	made := o.Token
	o.Token = func(ctx context.Context) (string, error) { tokens.Add(1); return made(ctx) }
	o.Now = func() time.Time { return *now.Load() }
	signer := newSigner(t, o)
	sign := func(want int32) {
		t.Helper()
		if _, err := signer.SignStatement(t.Context(), registrytest.Statement("https://example.com/type", digest)); err != nil {
			t.Fatal(err)
		}
		if got := tokens.Load(); got != want {
			t.Errorf("got %d tokens, want %d", got, want)
		}
	}
	sign(2) // one by NewSigner, one for the certificate
	sign(2)
	later := begin.Add(7 * time.Minute)
	now.Store(&later)
	sign(3)
}

// TestKeySigner signs with keys of all kinds, and contacts nothing.
func TestKeySigner(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"p256", "p384", "rsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			key := registrytest.NewKey(t, kind)
			signer := newSigner(t, attest.SignerOptions{Key: key.Private(), Now: time.Now})
			raw, err := signer.SignStatement(t.Context(), registrytest.Statement("https://example.com/type", digest))
			if err != nil {
				t.Fatalf("got %v, want a bundle", err)
			}
			var b struct {
				Material struct {
					Log []json.RawMessage `json:"tlogEntries"`
				} `json:"verificationMaterial"`
			}
			if err := json.Unmarshal(raw, &b); err != nil || len(b.Material.Log) != 0 {
				t.Errorf("got %s, %v, want no log entry", raw, err)
			}
		})
	}
}

func TestUnusableSigners(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	pkcs8 := registrytest.NewKey(t, "p256").Private()
	locked := lock(t, pkcs8, password)
	for name, tc := range map[string]struct {
		o    attest.SignerOptions
		want string // empty: it is usable
	}{
		"plain":              {attest.SignerOptions{Key: pkcs8}, ""},
		"encrypted":          {attest.SignerOptions{Key: locked, Password: []byte(password)}, ""},
		"without password":   {attest.SignerOptions{Key: locked}, "COSIGN_PASSWORD is not set"},
		"wrong password":     {attest.SignerOptions{Key: locked, Password: []byte("battery staple")}, "COSIGN_PASSWORD is not its password"},
		"empty password":     {attest.SignerOptions{Key: lock(t, pkcs8, "")}, ""},
		"not a key":          {attest.SignerOptions{Key: []byte("key")}, "not a private key"},
		"public key":         {attest.SignerOptions{Key: registrytest.NewKey(t, "p256").Public()}, "it is a public key"},
		"weak RSA key":       {attest.SignerOptions{Key: weakRSA(t)}, "RSA keys of 1024 bits are not supported"},
		"no identity":        {attest.SignerOptions{}, "no key and no identity"},
		"no token":           {attest.SignerOptions{Token: token("", nil)}, "token is empty"},
		"failing token":      {attest.SignerOptions{Token: token("", errors.New("no luck"))}, "no luck"},
		"no web token":       {attest.SignerOptions{Token: token("secret", nil)}, "not a JSON web token"},
		"bad address":        {attest.SignerOptions{Key: pkcs8, Rekor: "rekor.example.com"}, "--rekor-url: bad address"},
		"password in it":     {attest.SignerOptions{Key: pkcs8, Timestamp: "https://a:b@tsa.example.com"}, "--timestamp-url: bad address"},
		"unverified address": {attest.SignerOptions{Token: token(jwt(t, `{"iss":"https://i","sub":"1","email":"a@b.c"}`), nil)}, "not verified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := attest.NewSigner(t.Context(), tc.o)
			if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			for _, secret := range []string{password, "battery staple"} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("got %v, want no password in it", err)
				}
			}
		})
	}
}

// TestExpectedIdentity is what Fulcio makes of the tokens of several issuers.
func TestExpectedIdentity(t *testing.T) {
	t.Parallel()
	for claims, want := range map[string]string{
		`{"iss":"https://accounts.google.com","sub":"123","email":"a@b.c","email_verified":true}`:                                                                           "a@b.c",
		`{"iss":"https://accounts.google.com","sub":"123","email":"a@b.c","email_verified":"true"}`:                                                                         "a@b.c",
		`{"iss":"https://token.actions.githubusercontent.com","sub":"repo:o/r:ref:refs/heads/main","job_workflow_ref":"o/r/.github/workflows/promote.yml@refs/heads/main"}`: "https://github.com/o/r/.github/workflows/promote.yml@refs/heads/main",
		`{"iss":"https://gitlab.com","sub":"project_path:o/r","ci_config_ref_uri":"gitlab.com/o/r//.gitlab-ci.yml@refs/heads/main"}`:                                        "https://gitlab.com/o/r//.gitlab-ci.yml@refs/heads/main",
		`{"iss":"https://spiffe.example.com","sub":"spiffe://example.com/promoter"}`:                                                                                        "spiffe://example.com/promoter",
	} {
		signer := newSigner(t, attest.SignerOptions{Token: token(jwt(t, claims), nil)})
		if got := signer.Expected().SAN; got != want {
			t.Errorf("%s: got %s, want %s", claims, got, want)
		}
	}
}

// TestRefusals: what a service says is in the error, but not the token.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := sigstoretest.New(t)
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"code":400,"message":"no luck with ` + r.Header.Get("Authorization") + `"}`))
	}))
	t.Cleanup(refuse.Close)
	for name, change := range map[string]func(*attest.SignerOptions){
		"certificate": func(o *attest.SignerOptions) { o.Fulcio = refuse.URL },
		"log entry":   func(o *attest.SignerOptions) { o.Rekor = refuse.URL },
		"timestamp":   func(o *attest.SignerOptions) { o.Timestamp = refuse.URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := keyless(s, owner)
			change(&o)
			signer := newSigner(t, o)
			_, err := signer.SignStatement(t.Context(), registrytest.Statement("https://example.com/type", digest))
			if err == nil || !strings.Contains(err.Error(), "no luck") || strings.Contains(err.Error(), s.Token(owner)) {
				t.Errorf("got %v, want the refusal without the token", err)
			}
		})
	}
}

func token(text string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, err }
}
