package promote

import (
	"fmt"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// keep parses a manifest and stores its bytes, once for each digest.
func (s *sources) keep(m *registry.Manifest) (*loaded, error) {
	content, err := m.Parse()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.known[m.Digest.String()]; l != nil {
		return l, nil
	}
	at, err := s.store.put(m.Raw)
	if err != nil {
		return nil, fmt.Errorf("keeping a manifest: %w", err)
	}
	l := &loaded{digest: m.Digest.String(), mediaType: m.MediaType, content: content, at: at}
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
	return &registry.Manifest{Digest: image.Hash(l.digest), MediaType: l.mediaType, Raw: raw}, nil
}

// kept returns a manifest that was read, or nil.
func (s *sources) kept(digest string) *loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[digest]
}
