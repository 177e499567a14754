package sigstoretest

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

const maxRequest = 1 << 20 // bytes

// FulcioURL starts a server that issues certificates, and returns its address.
//
// It believes every token that Token made.
func (s *Sigstore) FulcioURL() string { return s.serve("POST /api/v2/signingCert", s.issueFor) }

// RekorURL starts a server with the API of the transparency log's first version.
func (s *Sigstore) RekorURL() string { return s.serve("POST /api/v1/log/entries", s.appendEntry) }

// TimestampURL starts a timestamp authority, and returns its address with the path.
func (s *Sigstore) TimestampURL() string {
	const path = "/api/v1/timestamp"
	return s.serve("POST "+path, func(_ context.Context, request []byte, _ http.Header) (answer, error) {
		stamp, err := s.tsa.respond(request, s.now)
		return answer{http.StatusCreated, "application/timestamp-reply", "", stamp}, err
	}) + path
}

// Token returns a token for which Fulcio issues a certificate of the identity. A mail
// address is the email of the token; another name is its subject.
//
// Nobody has signed it.
func (s *Sigstore) Token(id Identity) string {
	s.t.Helper()
	c := tokenClaims{Issuer: id.Issuer, Subject: id.SAN, Repository: id.SourceRepository, Config: id.BuildConfig}
	if !strings.Contains(id.SAN, "://") {
		c.Email, c.Verified = id.SAN, true
	}
	raw, err := json.Marshal(c)
	s.check(err)
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part(raw) + "." + part([]byte("nobody"))
}

// tokenClaims are the claims of a token of Token.
type tokenClaims struct {
	Issuer     string `json:"iss"`
	Subject    string `json:"sub"`
	Email      string `json:"email,omitempty"`
	Verified   bool   `json:"email_verified,omitempty"`
	Repository string `json:"source_repository,omitempty"`
	Config     string `json:"build_config,omitempty"`
}

// answer is what a server sends.
type answer struct {
	status      int
	contentType string
	etag        string
	body        []byte
}

// serve starts a server for one path on loopback. An error is the answer 400 with its text.
func (s *Sigstore) serve(pattern string, handle func(ctx context.Context, body []byte, h http.Header) (answer, error)) string {
	s.t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		var a answer
		if err == nil {
			a, err = handle(r.Context(), body, r.Header)
		}
		if err != nil {
			a = answer{http.StatusBadRequest, "application/json", "", fmt.Appendf(nil, `{"code":400,"message":%q}`, err.Error())}
		}
		w.Header().Set("Content-Type", a.contentType)
		if a.etag != "" {
			w.Header().Set("ETag", a.etag)
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body) // a client may have left
	})
	server := httptest.NewServer(mux)
	s.t.Cleanup(server.Close)
	return server.URL
}

// issueFor answers a request for a certificate.
func (s *Sigstore) issueFor(_ context.Context, body []byte, h http.Header) (answer, error) {
	c, err := readToken(strings.TrimPrefix(h.Get("Authorization"), "Bearer "))
	if err != nil {
		return answer{}, err
	}
	var request struct {
		Key struct {
			Public struct {
				Content string `json:"content"`
			} `json:"publicKey"`
			Proof []byte `json:"proofOfPossession"`
		} `json:"publicKeyRequest"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return answer{}, err
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(request.Key.Public.Content))
	if err != nil {
		return answer{}, err
	}
	verifier, err := signature.LoadDefaultVerifier(public)
	if err != nil {
		return answer{}, err
	}
	if err := verifier.VerifySignature(bytes.NewReader(request.Key.Proof), strings.NewReader(c.Subject)); err != nil {
		return answer{}, fmt.Errorf("the proof of possession is wrong: %w", err)
	}
	leaf := s.certificate(public, Identity{c.Subject, c.Issuer, c.Repository, c.Config}, s.now, true)
	var chain struct {
		Embedded struct {
			Chain struct {
				Certificates []string `json:"certificates"`
			} `json:"chain"`
		} `json:"signedCertificateEmbeddedSct"`
	}
	for _, c := range []*x509.Certificate{leaf, s.ca.intermediate, s.ca.root} {
		chain.Embedded.Chain.Certificates = append(chain.Embedded.Chain.Certificates, string(certificatePEM(c)))
	}
	raw, err := json.Marshal(chain)
	return answer{http.StatusOK, "application/json", "", raw}, err
}

// readToken returns the claims of a token that Token made.
func readToken(token string) (c tokenClaims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] != base64.RawURLEncoding.EncodeToString([]byte("nobody")) {
		return c, fmt.Errorf("the token %q is of another issuer", token) // real servers repeat tokens, too
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(raw, &c)
}

// proposed is an entry that a client wants to add to the log.
type proposed struct {
	Kind string `json:"kind"`
	Spec struct {
		Content struct { // of kind dsse
			Envelope  string   `json:"envelope"`
			Verifiers [][]byte `json:"verifiers"`
		} `json:"proposedContent"`
		Data struct { // of kind hashedrekord
			Hash hash `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content []byte `json:"content"`
			Key     struct {
				Content []byte `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
	} `json:"spec"`
}

// body returns the entry as the log keeps it.
func (p *proposed) body() (body, error) {
	switch {
	case p.Kind == "hashedrekord":
		return messageBody(p.Spec.Data.Hash, p.Spec.Signature.Content, p.Spec.Signature.Key.Content), nil
	case p.Kind == "dsse" && len(p.Spec.Content.Verifiers) == 1:
		var e protodsse.Envelope
		if err := json.Unmarshal([]byte(p.Spec.Content.Envelope), &e); err != nil {
			return body{}, err
		}
		if len(e.GetSignatures()) != 1 {
			return body{}, fmt.Errorf("the envelope has %d signatures", len(e.GetSignatures()))
		}
		return envelopeBody([]byte(p.Spec.Content.Envelope), e.GetPayload(), e.GetSignatures()[0].GetSig(), p.Spec.Content.Verifiers[0]), nil
	}
	return body{}, fmt.Errorf("an entry of kind %q with %d verifiers", p.Kind, len(p.Spec.Content.Verifiers))
}

// appendEntry answers a request to add an entry to the log.
func (s *Sigstore) appendEntry(ctx context.Context, request []byte, _ http.Header) (answer, error) {
	var p proposed
	if err := json.Unmarshal(request, &p); err != nil {
		return answer{}, err
	}
	b, err := p.body()
	if err != nil {
		return answer{}, err
	}
	e, err := s.log.add(ctx, b, s.now)
	if err != nil {
		return answer{}, err
	}
	type proof struct {
		Checkpoint string   `json:"checkpoint"`
		Hashes     []string `json:"hashes"`
		LogIndex   int64    `json:"logIndex"`
		RootHash   string   `json:"rootHash"`
		TreeSize   int64    `json:"treeSize"`
	}
	type verification struct {
		Proof   proof  `json:"inclusionProof"`
		Promise []byte `json:"signedEntryTimestamp"`
	}
	type entry struct {
		signedEntry
		Verification verification `json:"verification"`
	}
	in := e.GetInclusionProof()
	out := entry{signed(e), verification{proof{
		in.GetCheckpoint().GetEnvelope(), []string{}, in.GetLogIndex(), hex.EncodeToString(in.GetRootHash()), in.GetTreeSize(),
	}, e.GetInclusionPromise().GetSignedEntryTimestamp()}}
	for _, h := range in.GetHashes() {
		out.Verification.Proof.Hashes = append(out.Verification.Proof.Hashes, hex.EncodeToString(h))
	}
	id := fmt.Sprintf("%064x", e.GetLogIndex())
	raw, err := json.Marshal(map[string]entry{id: out})
	return answer{http.StatusCreated, "application/json", id, raw}, err
}
