package registry

import (
	"context"
	"errors"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

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
	r := &wire.Request{Method: method, Repo: repo, Path: repo.RepositoryStr() + "/blobs/" + digest.String(), Header: http.Header{"Accept-Encoding": {"identity"}}, Blob: true}
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
