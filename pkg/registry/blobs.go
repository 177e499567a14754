package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// progress is the number of bytes after which the tries of a download start again at 1,
// so that a large blob can be read over a connection that breaks often.
const progress = 256 << 10

// damagedError is the error if a registry has other content under the digest of a blob.
//
// Sending the blob again may repair it.
type damagedError struct{ error }

// HasBlob returns whether a repository holds a blob. It sends one HEAD.
//
// If the answer has another size or digest, the header of a GET decides. If that has
// one as well, the blob is absent and the error is a *damagedError.
func (c *Client) HasBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (inventory.State, error) {
	err := c.blobHead(ctx, http.MethodHead, repo, d)
	var damaged *damagedError
	if errors.As(err, &damaged) {
		err = c.blobHead(ctx, http.MethodGet, repo, d)
	}
	switch {
	case errors.As(err, &damaged):
		return inventory.Absent, err
	case isMethodRefused(err), c.isAbsentStatus(repo, statusOf(err)):
		return inventory.Absent, nil // unknown, but sending the blob again does no harm
	}
	return state(err)
}

// blobHead compares the header of an answer about a blob with its descriptor.
func (c *Client) blobHead(ctx context.Context, method string, repo name.Repository, d v1.Descriptor) error {
	resp, err := c.do(ctx, blobRequest(method, repo, d.Digest), http.StatusOK)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size && !resp.Uncompressed {
		return &damagedError{fmt.Errorf("the registry holds blob %s with %d bytes, it has %d", d.Digest, resp.ContentLength, d.Size)}
	}
	return sameBlob(resp, d.Digest)
}

func blobRequest(method string, repo name.Repository, digest v1.Hash) *wire.Request {
	return &wire.Request{Method: method, Repo: repo, Path: repo.RepositoryStr() + "/blobs/" + digest.String(), Header: http.Header{}, Blob: true}
}

// sameBlob returns a *damagedError if the answer has a digest that differs.
//
// Digests of other algorithms cannot be compared, and are ignored.
func sameBlob(resp *http.Response, digest v1.Hash) error {
	got := resp.Header.Get("Docker-Content-Digest")
	if got == digest.String() || !strings.HasPrefix(got, digest.Algorithm+":") {
		return nil
	}
	return &damagedError{fmt.Errorf("the registry holds blob %s under another digest, %s", digest, wire.Printable(got, 100))}
}

// errNoLength is the error for an answer without a Content-Length.
var errNoLength = errors.New("the registry does not send its size")

// BlobSize returns the size of a blob in a registry, in bytes.
//
// It sends one HEAD. If that does not have the size in d, it sends a GET and does not
// read the body.
func (c *Client) BlobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error) {
	head, err := c.blobLength(ctx, http.MethodHead, repo, d.Digest)
	if err == nil && head == d.Size {
		return head, nil
	}
	got, failed := c.blobLength(ctx, http.MethodGet, repo, d.Digest)
	if failed != nil && err == nil {
		return head, nil
	}
	return got, failed
}

func (c *Client) blobLength(ctx context.Context, method string, repo name.Repository, digest v1.Hash) (int64, error) {
	r := blobRequest(method, repo, digest)
	r.Header.Set("Accept-Encoding", "identity")
	resp, err := c.do(ctx, r, http.StatusOK)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	if resp.ContentLength < 0 {
		return 0, errNoLength
	}
	return resp.ContentLength, nil
}

// FetchBlob writes the bytes of a blob to w.
//
// If the connection breaks, it continues from there. It verifies digest and size
// before it writes the last bytes, so a reader behind w never sees a wrong blob end
// without an error. If the bytes are wrong and w has a method Reset, like
// bytes.Buffer, it calls Reset and reads the blob from the beginning.
func (c *Client) FetchBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error {
	for try := 1; ; try++ {
		err := c.fetchWhole(ctx, repo, d, w)
		again, ok := w.(interface{ Reset() })
		if !errors.Is(err, errOtherBytes) || !ok || try == bodyTries || ctx.Err() != nil {
			return err
		}
		c.log.Debugf("reading blob %s of %s: %v: reading it again", d.Digest, repo, err)
		again.Reset()
	}
}

// errOtherBytes is the error for a blob that does not have its digest.
var errOtherBytes = errors.New("the registry served other bytes")

// copyBuffers are used again. Most blobs are smaller than one.
var copyBuffers = sync.Pool{New: func() any {
	b := make([]byte, 32<<10)
	return &b
}}

// fetchWhole reads a blob from its beginning.
func (c *Client) fetchWhole(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error {
	hasher, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return err
	}
	f := &fetch{w: w, hash: hasher, size: d.Size}
	for try := 1; ; try++ {
		before := f.got
		err := c.fetchFrom(ctx, repo, d, f)
		if err == nil {
			break
		}
		var broken *bodyError
		if !errors.As(err, &broken) || ctx.Err() != nil {
			return err
		}
		if f.got-before >= progress && !wire.Late(err) {
			try = 1
		}
		if lastTry(try, err) {
			return err
		}
	}
	if got := hex.EncodeToString(f.hash.Sum(nil)); got != d.Digest.Hex {
		return fmt.Errorf("%w: they have digest %s:%s", errOtherBytes, d.Digest.Algorithm, got)
	}
	return f.flush()
}

// fetchFrom reads the rest of a blob that f does not have yet.
func (c *Client) fetchFrom(ctx context.Context, repo name.Repository, d v1.Descriptor, f *fetch) error {
	r := blobRequest(http.MethodGet, repo, d.Digest)
	if f.got > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.got))
	}
	resp, err := c.do(ctx, r, http.StatusOK, http.StatusPartialContent)
	if f.got > 0 && statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		r.Header.Del("Range") // the registry does not support open ranges: read from the beginning
		resp, err = c.do(ctx, r, http.StatusOK)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	skip := f.got
	if resp.StatusCode == http.StatusPartialContent {
		var from int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &from); err != nil || from != f.got {
			return &bodyError{fmt.Errorf("asked for bytes from %d, got %q", f.got, wire.Printable(resp.Header.Get("Content-Range"), 60))}
		}
		skip = 0
	}
	if _, err := io.CopyN(io.Discard, resp.Body, skip); err != nil {
		return &bodyError{fmt.Errorf("reading the blob's bytes: %w", err)}
	}
	buf, _ := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	if _, err := io.CopyBuffer(f, resp.Body, *buf); err != nil {
		if f.failed != nil {
			return f.failed
		}
		return &bodyError{fmt.Errorf("reading the blob's bytes: %w", err)}
	}
	if f.got != f.size {
		return &bodyError{fmt.Errorf("reading the blob's bytes: got %d of %d", f.got, f.size)}
	}
	return nil
}

// fetch is a writer that hashes a blob and writes it to w.
//
// It holds the last bytes back until flush is called.
type fetch struct {
	w      io.Writer
	hash   hash.Hash
	size   int64
	got    int64
	held   []byte
	failed error // of w, or too many bytes: a retry does not help
}

// Write takes the next bytes of the blob.
func (f *fetch) Write(p []byte) (int, error) {
	if f.got+int64(len(p)) > f.size {
		f.failed = fmt.Errorf("%w: more than the %d that the manifest names", errOtherBytes, f.size)
		return 0, f.failed
	}
	if err := f.flush(); err != nil {
		return 0, err
	}
	f.hash.Write(p)
	f.held = append(f.held[:0], p...)
	f.got += int64(len(p))
	return len(p), nil
}

func (f *fetch) flush() error {
	if _, err := f.w.Write(f.held); err != nil {
		f.failed = err
		return err
	}
	f.held = f.held[:0]
	return nil
}
