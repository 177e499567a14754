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

// mountTries is how often a mount is tried that the host fails at: there is another way.
const mountTries = 3

// progress is how many bytes make a download that breaks off worth going on with, however often it does.
const progress = 256 << 10

// ErrMountRefused says that a registry did not mount a blob. It is no fault: the blob is to be copied.
var ErrMountRefused = errors.New("mount refused")

// DamagedError says that a registry holds something else under a blob's digest. Sending
// the blob again may repair it.
type DamagedError struct{ text string }

// Error says what it holds.
func (e *DamagedError) Error() string { return e.text }

// HasBlob returns whether a repository holds a blob: one HEAD. Where that has another size
// or digest than the blob, the head of a GET decides; if it has as well, the blob is absent
// and the error a *DamagedError.
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
		return inventory.Absent, nil // it does not tell; sending the blob again is harmless
	}
	return state(err)
}

// blobHead asks for the head of a blob and compares it with what the blob is.
func (c *Client) blobHead(ctx context.Context, method string, repo name.Repository, d v1.Descriptor) error {
	resp, err := c.do(ctx, &wire.Request{Method: method, Repo: repo, Path: repo.RepositoryStr() + "/blobs/" + d.Digest.String(), Blob: true}, http.StatusOK)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size && !resp.Uncompressed {
		return &DamagedError{fmt.Sprintf("the registry holds blob %s with %d bytes, it has %d", d.Digest.String(), resp.ContentLength, d.Size)}
	}
	return sameBlob(resp, d.Digest.String())
}

// sameBlob returns a *DamagedError if an answer names another digest than a blob's. One of
// another algorithm says nothing.
func sameBlob(resp *http.Response, digest string) error {
	got := resp.Header.Get("Docker-Content-Digest")
	algorithm, _, _ := strings.Cut(digest, ":")
	if got == digest || !strings.HasPrefix(got, algorithm+":") {
		return nil
	}
	return &DamagedError{fmt.Sprintf("the registry holds blob %s under another digest, %s", digest, wire.Printable(got, 100))}
}

// FetchBlob writes the bytes of a blob to w. Where the connection breaks off it goes
// on from there. Digest and size are verified before the last bytes are written, so
// that what follows w cannot take a wrong blob for a whole one. A blob that comes
// with other bytes is read again from its beginning if w has a Reset method, as a
// bytes.Buffer has, that drops what was written.
func (c *Client) FetchBlob(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error {
	for try := 1; ; try++ {
		err := c.fetchWhole(ctx, repo, d, w)
		again, ok := w.(interface{ Reset() })
		if !errors.Is(err, errOtherBytes) || !ok || try == bodyTries || ctx.Err() != nil {
			return err
		}
		c.log.Debugf("reading blob %s of %s: %v: reading it again", d.Digest.String(), repo, err)
		again.Reset()
	}
}

// errOtherBytes is a blob that is not what its digest says.
var errOtherBytes = errors.New("the registry served other bytes")

// fetchWhole reads a blob from its beginning.
func (c *Client) fetchWhole(ctx context.Context, repo name.Repository, d v1.Descriptor, w io.Writer) error {
	algorithm, want, _ := strings.Cut(d.Digest.String(), ":")
	f := &fetch{w: w, hash: newHash(algorithm), size: d.Size}
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
	if got := hex.EncodeToString(f.hash.Sum(nil)); got != want {
		return fmt.Errorf("%w: they have digest %s:%s", errOtherBytes, algorithm, got)
	}
	return f.flush()
}

// fetchFrom reads a blob from where f stands to its end.
func (c *Client) fetchFrom(ctx context.Context, repo name.Repository, d v1.Descriptor, f *fetch) error {
	r := &wire.Request{Method: http.MethodGet, Repo: repo, Path: repo.RepositoryStr() + "/blobs/" + d.Digest.String(), Header: http.Header{}, Blob: true}
	if f.got > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.got))
	}
	resp, err := c.do(ctx, r, http.StatusOK, http.StatusPartialContent)
	if e := (*Error)(nil); f.got > 0 && errors.As(err, &e) && e.Status == http.StatusRequestedRangeNotSatisfiable {
		r.Header.Del("Range") // it knows no open ranges: read from the beginning
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

// fetch hashes what is written to it and passes it on with a delay: the last
// piece waits for flush.
type fetch struct {
	w      io.Writer
	hash   hash.Hash
	size   int64
	got    int64
	held   []byte
	failed error // of w, or too many bytes: no retry mends it
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

// Session is an upload that has been opened.
type Session struct {
	client *Client
	repo   name.Repository
	at     *url.URL
	own    bool // it is on the host that opened it, not in a cloud's storage
}

// Mount asks the registry to take a blob from another of its repositories. Where it
// does not, or names another digest, the error is ErrMountRefused, with the session that
// it opened instead, if it did. A host that has refused is not asked again for the same
// source repository.
func (c *Client) Mount(ctx context.Context, repo, from name.Repository, digest string) (*Session, error) {
	return c.mounts.of(repo.RegistryStr()).try(from, func() (*Session, error) { return c.mount(ctx, repo, from, digest) })
}

// mount sends a mount request.
func (c *Client) mount(ctx context.Context, repo, from name.Repository, digest string) (*Session, error) {
	r := &wire.Request{
		Method: http.MethodPost, Repo: repo, Path: repo.RepositoryStr() + "/blobs/uploads/", Access: wire.Push, From: from, Grace: true, Tries: mountTries,
		Query: url.Values{"mount": {digest}, "from": {from.RepositoryStr()}},
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

// Upload opens an upload session.
func (c *Client) Upload(ctx context.Context, repo name.Repository) (*Session, error) {
	r := &wire.Request{Method: http.MethodPost, Repo: repo, Path: repo.RepositoryStr() + "/blobs/uploads/", Access: wire.Push, Grace: true}
	resp, err := c.do(ctx, r, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	return c.session(repo, resp)
}

func (c *Client) session(repo name.Repository, resp *http.Response) (*Session, error) {
	defer resp.Body.Close()
	if resp.Header.Get("Location") == "" {
		return nil, errors.New("the registry opened an upload and does not say where")
	}
	at, err := wire.Resolve(resp.Request.URL, resp.Header.Get("Location"))
	if err != nil {
		return nil, c.wire.Clean(err)
	}
	own := wire.SameHost(at, resp.Request.URL)
	if !wire.UploadPath(at.Path) && (own || wire.APIPath(at.Path)) {
		return nil, fmt.Errorf("the registry opened an upload and names another place for it, %s", wire.Printable(at.Host+at.Path, 200))
	}
	return &Session{client: c, repo: repo, at: at, own: own}, nil
}

// Put sends a blob whole and closes the session. The session is of no use after an
// error: the registry may have kept some of the bytes.
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
	return sameBlob(resp, d.Digest.String())
}

// Cancel deletes the session, so that it does not lie about in the registry. On another
// host nothing is deleted.
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

// BytesBody returns a body that can be sent any number of times.
func BytesBody(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}
