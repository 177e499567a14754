package registry

import (
	"context"
	"errors"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// errNoLength is an answer that does not say how many bytes it has.
var errNoLength = errors.New("the registry does not say how large it is")

// BlobSize returns how many bytes a registry says that a blob has: one HEAD, and a GET
// whose body is not read where HEAD does not find the size that d has.
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
