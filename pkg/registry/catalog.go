package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// errNoCatalog is the error for a host without a catalog.
var errNoCatalog = errors.New("the registry lists no repositories")

// errEmptyCatalog is the error for a host with empty catalog.
var errEmptyCatalog = errors.New("the registry's catalog is empty")

// catalog returns the names of all repositories of a host, sorted and each once.
func (c *Client) catalog(ctx context.Context, host string) ([]string, error) {
	var names []string
	all := listing{repo: image.NewRepository(host, ""), access: wire.Catalog, path: "_catalog", size: 1000}
	err := c.pages(ctx, all, func(body io.Reader) (func() int, error) {
		var page []string
		known := false
		err := object(body, func(key string, dec *json.Decoder) error {
			if key != "repositories" {
				return skip(dec)
			}
			known = true
			return dec.Decode(&page)
		})
		switch {
		case err != nil:
			return nil, fmt.Errorf("parsing the catalog: %w", err)
		case !known:
			return nil, errors.New("parsing the catalog: it has no field repositories")
		}
		return func() int {
			names = append(names, page...)
			return len(page)
		}, nil
	})
	var scope *auth.RefusedError
	if errors.As(err, &scope) && scope.Status != http.StatusUnauthorized {
		return nil, errNoCatalog
	}
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnauthorized, http.StatusForbidden:
		return nil, errNoCatalog // the ping succeeded, or the error would be another
	}
	slices.Sort(names)
	return slices.Compact(names), err
}
