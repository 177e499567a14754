package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// mountTries is the maximum number of tries of a mount that fails with a 5xx status.
// It is small because the blob can be copied instead.
const mountTries = 3

// progress is the number of bytes after which the tries of a download start again at 1,
// so that a large blob can be read over a connection that breaks often.
const progress = 256 << 10

// ErrMountRefused is the error if a registry does not mount a blob.
//
// That is normal: the caller copies the blob instead.
var ErrMountRefused = errors.New("mount refused")

// DamagedError is the error if a registry has other content under the digest of a blob.
//
// Sending the blob again may repair it.
type DamagedError struct{ text string }

// Error returns the message.
func (e *DamagedError) Error() string { return e.text }

// HasBlob returns whether a repository holds a blob. It sends one HEAD.
//
// If the answer has another size or digest, the header of a GET decides. If that has
// one as well, the blob is absent and the error is a *DamagedError.
func (c *Client) HasBlob(ctx context.Context, repo name.Repository, d v1.Descriptor) (inventory.State, error) {
	err := c.blobHead(ctx, http.MethodHead, repo, d)
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		err = c.blobHead(ctx, http.MethodGet, repo, d)
	}
	var e *Error
	switch {
	case errors.As(err, &damaged):
		return inventory.Absent, err
	case errors.As(err, &e) && (e.Status == http.StatusMethodNotAllowed || c.isAbsentStatus(repo, e.Status)):
		return inventory.Absent, nil // unknown, but sending the blob again does no harm
	}
	return state(err)
}

// blobHead compares the header of an answer about a blob with its descriptor.
func (c *Client) blobHead(ctx context.Context, method string, repo name.Repository, d v1.Descriptor) error {
	resp, err := c.do(ctx, &wire.Request{Method: method, Repo: repo, Path: repo.RepositoryStr() + "/blobs/" + d.Digest.String(), Blob: true}, http.StatusOK)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size && !resp.Uncompressed {
		return &DamagedError{fmt.Sprintf("the registry holds blob %s with %d bytes, it has %d", d.Digest, resp.ContentLength, d.Size)}
	}
	return sameBlob(resp, d.Digest)
}

// sameBlob returns a *DamagedError if the answer has a digest that differs.
//
// Digests of other algorithms cannot be compared, and are ignored.
func sameBlob(resp *http.Response, digest v1.Hash) error {
	got := resp.Header.Get("Docker-Content-Digest")
	if got == digest.String() || !strings.HasPrefix(got, digest.Algorithm+":") {
		return nil
	}
	return &DamagedError{fmt.Sprintf("the registry holds blob %s under another digest, %s", digest, wire.Printable(got, 100))}
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

// fetchWhole reads a blob from its beginning.
func (c *Client) fetchWhole(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error {
	f := &fetch{w: w, hash: newHash(d.Digest.Algorithm), size: d.Size}
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
	r := &wire.Request{Method: http.MethodGet, Repo: repo, Path: repo.RepositoryStr() + "/blobs/" + d.Digest.String(), Header: http.Header{}, Blob: true}
	if f.got > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.got))
	}
	resp, err := c.do(ctx, r, http.StatusOK, http.StatusPartialContent)
	if e := (*Error)(nil); f.got > 0 && errors.As(err, &e) && e.Status == http.StatusRequestedRangeNotSatisfiable {
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
	if _, err := io.Copy(f, resp.Body); err != nil {
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

// Session is an open upload session.
type Session struct {
	client *Client
	repo   name.Repository
	at     *url.URL
	own    bool // the session is on the host that opened it, not in cloud storage
}

// Mount asks the registry to take a blob from another of its repositories. Where it
// does not, or names another digest, the error is ErrMountRefused, with the session that
// it opened instead, if it did. A host that has refused is not asked again for the same
// source repository.
func (c *Client) Mount(ctx context.Context, repo, from name.Repository, digest v1.Hash) (*Session, error) {
	return c.mounts.of(repo.RegistryStr()).try(from, func() (*Session, error) { return c.mount(ctx, repo, from, digest) })
}

// mount sends a mount request.
func (c *Client) mount(ctx context.Context, repo, from name.Repository, digest v1.Hash) (*Session, error) {
	r := &wire.Request{
		Method: http.MethodPost, Repo: repo, Path: repo.RepositoryStr() + "/blobs/uploads/", Access: wire.Push, From: from, Grace: true, Tries: mountTries,
		Query: url.Values{"mount": {digest.String()}, "from": {from.RepositoryStr()}},
	}
	resp, err := c.wire.Do(ctx, r)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Status >= 500 {
			return nil, fmt.Errorf("%w: %w", ErrMountRefused, err) // some registries fail on what they cannot mount
		}
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusCreated:
		resp.Body.Close()
		if err := sameBlob(resp, digest); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMountRefused, err)
		}
		return nil, nil
	case http.StatusAccepted:
		s, err := c.session(repo, resp)
		if err != nil {
			return nil, err
		}
		return s, ErrMountRefused
	}
	return nil, fmt.Errorf("%w: %w", ErrMountRefused, wire.ReadError(resp))
}

// Upload opens an upload session in a repository.
func (c *Client) Upload(ctx context.Context, repo name.Repository) (*Session, error) {
	r := &wire.Request{Method: http.MethodPost, Repo: repo, Path: repo.RepositoryStr() + "/blobs/uploads/", Access: wire.Push, Grace: true}
	resp, err := c.do(ctx, r, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	return c.session(repo, resp)
}

func (c *Client) session(repo name.Repository, resp *http.Response) (s *Session, err error) {
	defer resp.Body.Close()
	defer c.clean(&err)
	if resp.Header.Get("Location") == "" {
		return nil, errors.New("the registry opened an upload session without sending its address")
	}
	at, err := wire.Resolve(resp.Request.URL, resp.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	own := wire.SameHost(at, resp.Request.URL)
	if !wire.UploadPath(at.Path) && (own || wire.APIPath(at.Path)) {
		return nil, fmt.Errorf("the registry opened an upload session at an unexpected address, %s", wire.Printable(at.Host+at.Path, 200))
	}
	return &Session{client: c, repo: repo, at: at, own: own}, nil
}

// Put sends a whole blob and closes the session.
//
// After an error the session cannot be used, because the registry may have kept some
// of the bytes.
func (s *Session) Put(ctx context.Context, d v1.Descriptor, body func() (io.ReadCloser, error)) error {
	at := *s.at
	q := at.Query()
	q.Set("digest", d.Digest.String())
	at.RawQuery = q.Encode()
	r := &wire.Request{
		Method: http.MethodPut, Repo: s.repo, URL: &at, Access: wire.Push, Body: body, Length: d.Size, Blob: true, Once: true,
		Header: http.Header{"Content-Type": {"application/octet-stream"}},
	}
	resp, err := s.client.do(ctx, r, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return err
	}
	resp.Body.Close()
	s.client.bytes.Add(d.Size)
	if err := sameBlob(resp, d.Digest); err != nil || resp.StatusCode == http.StatusCreated {
		return err
	}
	// Only 201 means that the blob is stored (OCI distribution-spec, "Pushing blobs"). Some
	// registries answer another status; so does a login page.
	if there, err := s.client.HasBlob(ctx, s.repo, d); err != nil || there != inventory.Present {
		return errors.Join(fmt.Errorf("the registry answered %d to the upload and does not have the blob", resp.StatusCode), err)
	}
	return nil
}

// Cancel deletes the session, so that the registry does not have to keep it.
//
// A session on another host is not deleted.
func (s *Session) Cancel(ctx context.Context) {
	if !s.own {
		return
	}
	r := &wire.Request{Method: http.MethodDelete, Repo: s.repo, URL: s.at, Access: wire.Push}
	resp, err := s.client.wire.Do(ctx, r)
	if err != nil {
		s.client.log.Debugf("deleting an upload session of %s: %v", s.repo, err)
		return
	}
	resp.Body.Close()
}

// BytesBody returns a request body that can be sent repeatedly.
func BytesBody(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}
