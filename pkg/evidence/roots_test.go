package evidence

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// mirror serves a TUF repository with a trusted root, as sigstore's does.
type mirror struct {
	*httptest.Server
	anchor []byte

	mu       sync.Mutex
	requests []string
}

// newMirror makes a repository with one target, trusted_root.json, whose metadata
// expires in a day.
func newMirror(t *testing.T, target []byte) *mirror {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := signature.LoadSigner(key, crypto.Hash(0))
	must(t, err)
	public, err := metadata.KeyFromPublicKey(key.Public())
	must(t, err)
	expires := time.Now().Add(24 * time.Hour)
	files := map[string][]byte{}
	root := metadata.Root(expires)
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		must(t, root.Signed.AddKey(public, role))
	}
	info, err := metadata.TargetFile().FromBytes("trusted_root.json", target, "sha256")
	must(t, err)
	files["/targets/"+hex.EncodeToString(info.Hashes["sha256"])+".trusted_root.json"] = target
	targets := metadata.Targets(expires)
	targets.Signed.Targets["trusted_root.json"] = info
	files["/1.root.json"] = inTUF(t, root, signer)
	files["/1.targets.json"] = inTUF(t, targets, signer)
	files["/1.snapshot.json"] = inTUF(t, metadata.Snapshot(expires), signer)
	files["/timestamp.json"] = inTUF(t, metadata.Timestamp(expires), signer)
	m := &mirror{anchor: files["/1.root.json"]}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests = append(m.requests, r.URL.Path+" "+r.UserAgent())
		m.mu.Unlock()
		raw, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(raw)
	}))
	t.Cleanup(m.Close)
	return m
}

// inTUF returns metadata with a signature.
func inTUF[T metadata.Roles](t *testing.T, m *metadata.Metadata[T], by signature.Signer) []byte {
	t.Helper()
	_, err := m.Sign(by)
	must(t, err)
	raw, err := m.ToBytes(false)
	must(t, err)
	return raw
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// count returns the number of requests since the last call.
func (m *mirror) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.requests)
	m.requests = nil
	return n
}

// TestPublicRootIsKept loads the root from a TUF repository, and keeps it.
func TestPublicRootIsKept(t *testing.T) {
	t.Parallel()
	want := []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	m := newMirror(t, want)
	load := func(cache string) {
		t.Helper()
		got, err := publicRoot(m.URL, m.anchor, cache, "cip/test")(t.Context())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}
	cache := filepath.Join(t.TempDir(), "a", "b")
	load(cache)
	for _, r := range m.requests {
		if !strings.HasSuffix(r, " cip/test") {
			t.Errorf("got request %q, want one of cip/test", r)
		}
	}
	if n := m.count(); n == 0 {
		t.Error("got no requests the first time, want some")
	}
	load(cache)
	if n := m.count(); n != 0 {
		t.Errorf("got %d requests the second time, want 0", n)
	}
	notADirectory := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(notADirectory, nil, 0o600))
	for _, unusable := range []string{"", filepath.Join(notADirectory, "below")} {
		load(unusable)
		if n := m.count(); n == 0 {
			t.Errorf("got no requests with the cache %q, want some", unusable)
		}
	}
}

// TestPublicRootFails says how to do without a network, and does not trust another's root.
func TestPublicRootFails(t *testing.T) {
	t.Parallel()
	m, other := newMirror(t, []byte("{}")), newMirror(t, []byte("{}"))
	for name, anchor := range map[string][]byte{"another's root": other.anchor, "no root": nil} {
		_, err := publicRoot(m.URL, anchor, t.TempDir(), "cip/test")(t.Context())
		if err == nil || !strings.Contains(err.Error(), m.URL) || !strings.Contains(err.Error(), "--trusted-root=FILE needs no network") {
			t.Errorf("%s: got error %v, want one with the address and the flag", name, err)
		}
	}
	m.Close()
	if _, err := publicRoot(m.URL, m.anchor, t.TempDir(), "cip/test")(t.Context()); err == nil || !strings.Contains(err.Error(), "--trusted-root=FILE") {
		t.Errorf("no answer: got error %v, want one with the flag", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := publicRoot(other.URL, other.anchor, t.TempDir(), "cip/test")(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got error %v, want %v", err, context.Canceled)
	}
}
