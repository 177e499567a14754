package promote

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

func (s *sources) load(ctx context.Context, repo name.Repository, digest string) (*loaded, error) {
	m, err := s.from.Manifest(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	return s.parse(m)
}

// parse parses a manifest and keeps it.
func (s *sources) parse(m *registry.Manifest) (*loaded, error) {
	content, err := m.Parse()
	if err != nil {
		return nil, err
	}
	return s.keep(m, content)
}

// keep stores a manifest's bytes, once for each digest.
func (s *sources) keep(m *registry.Manifest, content *registry.Content) (*loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.known[m.Digest.String()]; l != nil {
		return l, nil
	}
	at, err := s.store.put(m.Raw)
	if err != nil {
		return nil, fmt.Errorf("keeping a manifest: %w", err)
	}
	l := &loaded{digest: m.Digest.String(), mediaType: string(m.MediaType), content: content, at: at}
	s.known[m.Digest.String()] = l
	return l, nil
}

// manifest returns a kept manifest with its bytes.
func (s *sources) manifest(l *loaded) (*registry.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := s.store.get(l.at)
	if err != nil {
		return nil, fmt.Errorf("reading a kept manifest: %w", err)
	}
	return &registry.Manifest{Digest: image.Hash(l.digest), MediaType: types.MediaType(l.mediaType), Raw: raw}, nil
}

// content returns the content of a manifest that was read, or nil.
func (s *sources) content(digest string) *registry.Content {
	if l := s.kept(digest); l != nil {
		return l.content
	}
	return nil
}

// kept returns a manifest that was read, or nil.
func (s *sources) kept(digest string) *loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[digest]
}
