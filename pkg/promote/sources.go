package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cip/pkg/image"
	"cip/pkg/inventory"
	"cip/pkg/plan"
	"cip/pkg/registry"
)

// Sources reads manifests, each once a run, and keeps what a copy needs of them.
// It is safe for concurrent use.
type Sources struct {
	client *registry.Client
	warn   func(string)

	mu     sync.Mutex
	reads  map[sourceKey]*sourceRead
	tags   map[plan.SourceTag]*tagRead
	seen   map[sourceKey]struct{} // what source tags were found to point to
	known  map[string]*loaded     // by digest: the first read that succeeded
	unions map[string]*merged     // by digest: manifests that are not in any source
	store  spill
	failed map[image.Repository]struct{}           // repositories that a warning was given for
	others map[image.Repository][]image.Repository // of one that was read: where else what it lacks may be
}

type sourceKey struct {
	repo   image.Repository
	digest string
}

// loaded is a manifest that was read: its content, and where its bytes are kept.
type loaded struct {
	digest    string
	mediaType string
	content   *registry.Content
	at        span
}

type sourceRead struct {
	done  chan struct{}
	state inventory.State
	err   error
	*loaded
}

type tagRead struct {
	done chan struct{}
	plan.Resolution
}

// NewSources returns a reader of sources. warn is told, once each, of repositories that are passed over.
func NewSources(c *registry.Client, warn func(string)) *Sources {
	return &Sources{
		client: c, warn: warn, reads: map[sourceKey]*sourceRead{}, tags: map[plan.SourceTag]*tagRead{}, seen: map[sourceKey]struct{}{},
		known: map[string]*loaded{}, failed: map[image.Repository]struct{}{}, others: map[image.Repository][]image.Repository{},
	}
}

// Close removes what was kept on disk.
func (s *Sources) Close() error { return s.store.close() }

// Resolve reads a source tag, once a run.
func (s *Sources) Resolve(ctx context.Context, tag plan.SourceTag) plan.Resolution {
	s.mu.Lock()
	r, ok := s.tags[tag]
	if !ok {
		r = &tagRead{done: make(chan struct{})}
		s.tags[tag] = r
	}
	s.mu.Unlock()
	if !ok {
		r.Digest, r.State, r.Err = s.client.Resolve(ctx, tag.Repository, tag.Tag)
		if r.State == inventory.Present {
			s.mu.Lock()
			s.seen[sourceKey{tag.Repository, string(r.Digest)}] = struct{}{}
			s.mu.Unlock()
		}
		close(r.done)
	}
	select {
	case <-r.done:
		return r.Resolution
	case <-ctx.Done():
		return plan.Resolution{Err: ctx.Err()}
	}
}

// see records the wanted digests that source tags have shown to be in the target already.
func (s *Sources) see(t *plan.Target, have *inventory.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range t.Want.Entries {
		d := t.Want.Entries[i].Digest
		if _, ok := s.seen[sourceKey{t.Repository, string(d)}]; ok {
			have.SetDigest(d, inventory.Present)
		}
	}
}

// Find looks a wanted digest up at its candidates for a destination host: the first that holds it.
func (s *Sources) Find(ctx context.Context, e *plan.Entry, dst image.Repository) plan.Finding {
	var unread []string
	var passed []func() // warnings of sources, which are errors unless something else is read
	for _, repo := range e.Candidates(dst.Host) {
		if repo == dst {
			continue // it lacks the digest, or it would not be looked for
		}
		r := s.read(ctx, repo, string(e.Digest))
		switch r.state {
		case inventory.Present:
			for _, warn := range passed {
				warn()
			}
			s.found(e, repo)
			return plan.Finding{State: inventory.Present, From: repo}
		case inventory.Unknown:
			if isSource(e, repo) {
				passed = append(passed, func() { s.passOver("source", repo, r.err) })
			} else {
				s.passOver("mirror", repo, r.err)
			}
			text := r.err.Error()
			if repo != e.Sources[0].Repository {
				text = repo.String() + ": " + text
			}
			unread = append(unread, text)
		}
	}
	if unread != nil {
		return plan.Finding{State: inventory.Unknown, Err: errors.New(strings.Join(unread, "; "))}
	}
	return plan.Finding{State: inventory.Absent}
}

func isSource(e *plan.Entry, repo image.Repository) bool {
	for _, s := range e.Sources {
		if s.Repository == repo {
			return true
		}
	}
	return false
}

// found remembers where else what belongs to a digest may be read.
func (s *Sources) found(e *plan.Entry, from image.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, repo := range e.Candidates(from.Host) {
		if repo != from && !slices.Contains(s.others[from], repo) {
			s.others[from] = append(s.others[from], repo)
		}
	}
}

// places returns where what belongs to a digest that a repository holds may be
// read: there, then at the other candidates.
func (s *Sources) places(from image.Repository) []image.Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]image.Repository{from}, s.others[from]...)
}

// first reads a manifest from the first place that holds it, and returns the places
// with that one first; nil if none does.
func (s *Sources) first(ctx context.Context, places []image.Repository, digest string) (*sourceRead, []image.Repository, error) {
	var unread error
	var passed image.Repository // that could not be read
	for i, repo := range places {
		r := s.read(ctx, repo, digest)
		switch {
		case r.state == inventory.Unknown && unread == nil:
			unread, passed = fmt.Errorf("reading %s@%s: %w", repo, digest, r.err), repo
		case r.state == inventory.Present:
			if unread != nil {
				s.passOver("source", passed, unread)
			}
			at := append([]image.Repository{repo}, places[:i]...)
			return r, append(at, places[i+1:]...), nil
		}
	}
	return nil, nil, unread
}

func (s *Sources) passOver(side string, repo image.Repository, err error) {
	s.mu.Lock()
	_, told := s.failed[repo]
	s.failed[repo] = struct{}{}
	s.mu.Unlock()
	if !told {
		s.warn(fmt.Sprintf("passing over %s %s: %v", side, repo, err))
	}
}

// read reads a manifest by digest from one repository, once a run.
func (s *Sources) read(ctx context.Context, repo image.Repository, digest string) *sourceRead {
	key := sourceKey{repo, digest}
	s.mu.Lock()
	r, ok := s.reads[key]
	if !ok {
		r = &sourceRead{done: make(chan struct{})}
		s.reads[key] = r
	}
	s.mu.Unlock()
	if !ok {
		r.state, r.err = s.load(ctx, repo, digest, r)
		close(r.done)
		return r
	}
	select {
	case <-r.done:
		return r
	case <-ctx.Done():
		return &sourceRead{err: ctx.Err()}
	}
}

func (s *Sources) load(ctx context.Context, repo image.Repository, digest string, r *sourceRead) (inventory.State, error) {
	m, err := s.client.Manifest(ctx, repo, digest)
	if errors.Is(err, registry.ErrNotFound) {
		return inventory.Absent, nil
	}
	if err != nil {
		return inventory.Unknown, err
	}
	content, err := m.Parse()
	if err != nil {
		return inventory.Unknown, err
	}
	r.loaded, err = s.keep(m, content)
	if err != nil {
		return inventory.Unknown, err
	}
	return inventory.Present, nil
}

// keep stores a manifest's bytes, once for each digest.
func (s *Sources) keep(m *registry.Manifest, content *registry.Content) (*loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.known[m.Digest]; l != nil {
		return l, nil
	}
	at, err := s.store.put(m.Raw)
	if err != nil {
		return nil, fmt.Errorf("keeping a manifest: %w", err)
	}
	l := &loaded{digest: m.Digest, mediaType: m.MediaType, content: content, at: at}
	s.known[m.Digest] = l
	return l, nil
}

// manifest returns a kept manifest with its bytes.
func (s *Sources) manifest(l *loaded) (*registry.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := s.store.get(l.at)
	if err != nil {
		return nil, fmt.Errorf("reading a kept manifest: %w", err)
	}
	return &registry.Manifest{Digest: l.digest, MediaType: l.mediaType, Raw: raw}, nil
}

// Read reads a manifest by digest from a repository that a digest was found in, or
// from where else what belongs to that may be, and returns what it points to; nil if
// none of these holds it.
func (s *Sources) Read(ctx context.Context, repo image.Repository, digest string) (*registry.Content, error) {
	r, _, err := s.first(ctx, s.places(repo), digest)
	if r == nil || err != nil {
		return nil, err
	}
	return r.content, nil
}

// Content returns what a digest that was read points to, or nil.
func (s *Sources) Content(digest string) *registry.Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.known[digest]; l != nil {
		return l.content
	}
	return nil
}
