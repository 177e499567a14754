// Package demo holds the registry of cip demo: one in memory, on loopback, whose
// staging part has some images. It needs neither network nor files.
package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

// Host is the registry that the example manifest files name.
const Host = "localhost:5000"

// Registry is a running registry.
type Registry struct {
	Host   string // localhost and the port
	server *http.Server
}

// Start starts a registry on a port of loopback, "0" for any port that is free,
// and fills its staging part.
func Start(ctx context.Context, port string) (*Registry, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	r := &Registry{
		Host:   strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1),
		server: &http.Server{Handler: ociserver.New(ocimem.New(), nil)}, //nolint:gosec // on loopback, for one user
	}
	go func() { _ = r.server.Serve(l) }()
	if err := r.fill(ctx); err != nil {
		r.Close()
		return nil, fmt.Errorf("filling the registry: %w", err)
	}
	return r, nil
}

// Close stops the registry. What it holds is lost.
func (r *Registry) Close() { _ = r.server.Close() }
