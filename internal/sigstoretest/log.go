package sigstoretest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// treeID is the number of the log's tree in its checkpoints.
const treeID = 1

// log is a transparency log like Rekor v1. It is safe for concurrent use.
type log struct {
	key    *ecdsa.PrivateKey
	signer signature.Signer
	id     [sha256.Size]byte

	mu   sync.Mutex
	tree *testonly.Tree
}

func (s *Sigstore) newLog() *log {
	s.t.Helper()
	key := s.newKey()
	signer, err := signature.LoadECDSASigner(key, crypto.SHA256)
	s.check(err)
	return &log{key: key, signer: signer, id: s.logID(key), tree: testonly.New(rfc6962.DefaultHasher)}
}

// add adds an entry, and returns it with a proof and a promise.
func (l *log) add(ctx context.Context, b body, at time.Time) (*protorekor.TransparencyLogEntry, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	index := l.tree.Size()
	l.tree.AppendData(raw)
	hashes, err := l.tree.InclusionProof(index, l.tree.Size())
	if err != nil {
		return nil, err
	}
	root := l.tree.Hash()
	checkpoint, err := util.CreateAndSignCheckpoint(ctx, "rekor.test", treeID, l.tree.Size(), root, l.signer)
	if err != nil {
		return nil, err
	}
	e := &protorekor.TransparencyLogEntry{
		LogIndex: int64(index), LogId: &protocommon.LogId{KeyId: l.id[:]},
		KindVersion:    &protorekor.KindVersion{Kind: b.Kind, Version: b.APIVersion},
		IntegratedTime: at.Unix(), CanonicalizedBody: raw,
		InclusionProof: &protorekor.InclusionProof{
			LogIndex: int64(index), RootHash: root, TreeSize: int64(l.tree.Size()), Hashes: hashes,
			Checkpoint: &protorekor.Checkpoint{Envelope: string(checkpoint)},
		},
	}
	promised, err := json.Marshal(signed(e))
	if err != nil {
		return nil, err
	}
	promise, err := l.signer.SignMessage(bytes.NewReader(promised))
	e.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: promise}
	return e, err
}

// signedEntry is what a promise signs. Its keys are sorted, as canonical JSON demands.
type signedEntry struct {
	Body           []byte `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogID          string `json:"logID"`
	LogIndex       int64  `json:"logIndex"`
}

// signed returns what the promise of an entry signs.
func signed(e *protorekor.TransparencyLogEntry) signedEntry {
	return signedEntry{e.GetCanonicalizedBody(), e.GetIntegratedTime(), hex.EncodeToString(e.GetLogId().GetKeyId()), e.GetLogIndex()}
}

// body is an entry of Rekor v1. Its keys are sorted, as canonical JSON demands.
type body struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       any    `json:"spec"`
}

type hash struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

func sha256Of(raw []byte) hash {
	sum := sha256.Sum256(raw)
	return hash{"sha256", hex.EncodeToString(sum[:])}
}

// envelopeBody returns the entry for an envelope. verifier is a certificate or a public key, PEM.
func envelopeBody(envelope, payload, sig, verifier []byte) body {
	type signature struct {
		Signature []byte `json:"signature"`
		Verifier  []byte `json:"verifier"`
	}
	return body{"0.0.1", "dsse", struct {
		EnvelopeHash hash        `json:"envelopeHash"`
		PayloadHash  hash        `json:"payloadHash"`
		Signatures   []signature `json:"signatures"`
	}{sha256Of(envelope), sha256Of(payload), []signature{{sig, verifier}}}}
}

// messageBody returns the entry for the signature of a message with a hash.
func messageBody(message hash, sig, verifier []byte) body {
	type content struct {
		Content []byte `json:"content"`
	}
	type data struct {
		Hash hash `json:"hash"`
	}
	type signature struct {
		Content   []byte  `json:"content"`
		PublicKey content `json:"publicKey"`
	}
	return body{"0.0.1", "hashedrekord", struct {
		Data      data      `json:"data"`
		Signature signature `json:"signature"`
	}{data{message}, signature{sig, content{verifier}}}}
}
