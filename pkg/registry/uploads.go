package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// Session is an open upload session.
type Session struct {
	client *Client
	repo   name.Repository
	at     *url.URL
	own    bool // the session is on the host that opened it, not in cloud storage
}

// Upload opens an upload session in a repository.
func (c *Client) Upload(ctx context.Context, repo name.Repository) (*Session, error) {
	resp, err := c.do(ctx, uploadRequest(repo), http.StatusAccepted)
	var s *Session
	if err == nil {
		s, err = c.session(repo, resp)
	}
	if err != nil {
		return nil, &openError{fmt.Errorf("opening an upload: %w", err)}
	}
	return s, nil
}

// uploadRequest returns the request that opens an upload session.
func uploadRequest(repo name.Repository) *wire.Request {
	return &wire.Request{Method: http.MethodPost, Repo: repo, Path: repo.RepositoryStr() + "/blobs/uploads/", Access: wire.Push, Grace: true}
}

// openError is the error if no upload session can be opened. All tries of the request
// were made.
type openError struct{ error }

func (e *openError) Unwrap() error { return e.error }

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
