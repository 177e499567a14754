package evidence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
)

// trustedRoot verifies by one trusted root.
type trustedRoot struct {
	*verify.Verifier
	material root.TrustedMaterial
}

// errRoot is the error for a file that is something else.
var errRoot = errors.New("it is not trusted_root.json of sigstore")

// parseRoots parses trusted_root.json, or several of them, one after the other.
func parseRoots(raw []byte) ([]trustedRoot, error) {
	var all []trustedRoot
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var one json.RawMessage
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errRoot
		}
		r, err := newRoot(one)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errRoot
	}
	return all, nil
}

// newRoot returns the verifier for one trusted root.
func newRoot(raw []byte) (trustedRoot, error) {
	message, err := root.NewTrustedRootProtobuf(raw)
	if err != nil {
		return trustedRoot{}, errRoot
	}
	material, err := root.NewTrustedRootFromProtobuf(message)
	if err != nil {
		return trustedRoot{}, fmt.Errorf("%w: %w", errRoot, err)
	}
	if len(material.FulcioCertificateAuthorities()) == 0 {
		return trustedRoot{}, errors.New("it has no certificate authority")
	}
	// Only subjects and types of statements are needed; predicates may be large.
	options := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	if len(material.RekorLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	} else {
		options = append(options, verify.WithSignedTimestamps(1))
	}
	v, err := verify.NewVerifier(material, options...)
	return trustedRoot{v, material}, err
}

// PublicRoot returns the function that loads the root of sigstore's public services.
//
// It comes from sigstore's TUF repository, is verified, and is kept in the directory
// cache. A root that was loaded within the last day is used without a request. Where the
// directory cannot be written, or cache is empty, it is loaded each time.
func PublicRoot(cache, userAgent string) func(ctx context.Context) ([]byte, error) {
	return publicRoot(tuf.DefaultMirror, tuf.DefaultRoot(), cache, userAgent)
}

func publicRoot(url string, anchor []byte, cache, userAgent string) func(ctx context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		raw, err := load(ctx, &tuf.Options{RepositoryBaseURL: url, Root: anchor, CachePath: cache, CacheValidity: 1}, userAgent)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("loading sigstore's public root from %s: %w (--trusted-root=FILE needs no network)", url, err)
		}
		return raw, nil
	}
}

func load(ctx context.Context, o *tuf.Options, userAgent string) ([]byte, error) {
	const limit = 30 * time.Second // of a request: a root has some 10 KB
	f := fetcher.NewDefaultFetcher()
	f.SetHTTPUserAgent(userAgent)
	o.DisableLocalCache = o.CachePath == "" || os.MkdirAll(o.CachePath, 0o700) != nil
	f.SetHTTPClient(&http.Client{Transport: withContext{ctx}, Timeout: limit})
	o.Fetcher = f
	client, err := tuf.New(o)
	if err != nil {
		return nil, err
	}
	return client.GetTarget("trusted_root.json")
}

// withContext sends requests that end with a context. TUF's client knows none.
type withContext struct{ ctx context.Context }

// RoundTrip implements http.RoundTripper.
func (w withContext) RoundTrip(r *http.Request) (*http.Response, error) {
	return http.DefaultTransport.RoundTrip(r.WithContext(w.ctx))
}
