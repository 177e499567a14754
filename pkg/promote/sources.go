package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/memo"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/transfer"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/plan"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry"
)

// reader reads content. *registry.Client reads that of registries; another
// implementation, of an OCI layout for instance, needs no other change here. Referrers
// are read by the client only.
type reader interface {
	transfer.Source

	// Manifest reads a manifest by tag or digest. The error is registry.ErrNotFound if there is none.
	Manifest(ctx context.Context, repo name.Repository, ref string) (*registry.Manifest, error)
	// BlobSize returns the size of a blob in bytes. The error is registry.ErrNotFound if there is none.
	BlobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error)
	// ResolveUnconfirmed returns the digest of a tag. Confirm asks again for a tag that it found to be absent.
	ResolveUnconfirmed(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error)
	Confirm(ctx context.Context, repo name.Repository, tag string) (v1.Hash, inventory.State, error)
}

var _ reader = (*registry.Client)(nil)

// sources reads each manifest once in a run, and keeps what a copy needs of it. It is
// safe for concurrent use.
type sources struct {
	from reader
	warn func(string)

	reads  memo.Map[repoDigest, *sourceRead]
	tagged memo.Map[repoDigest, *sourceRead] // by way of a tag
	heads  memo.Map[plan.SourceTag, plan.Resolution]
	tags   memo.Map[plan.SourceTag, plan.Resolution]
	sizes  memo.Map[hostBlob, sizeRead]

	mu      sync.Mutex
	seen    map[repoDigest]struct{} // what source tags were found to point to
	known   map[string]*loaded      // by digest: the first read that succeeded
	unions  map[string]*merged      // by digest: manifests that are not in any source
	store   spill
	damaged []repoDigest                          // blobs that a destination holds with other bytes
	failed  map[name.Repository]struct{}          // repositories that a warning was given for
	others  map[name.Repository][]name.Repository // of one that was read: where else what it lacks may be
}

// loaded is a manifest that was read: its content, and where its bytes are kept.
type loaded struct {
	digest    string
	mediaType string
	content   *registry.Content
	at        span
}

type sourceRead struct {
	state   inventory.State
	err     error
	stopped bool // err is the reader's end
	*loaded
}

// newSources returns sources that are read from a reader. warn is called once for each
// repository that is passed over.
func newSources(from reader, warn func(string)) *sources {
	return &sources{
		from: from, warn: warn, seen: map[repoDigest]struct{}{}, known: map[string]*loaded{}, failed: map[name.Repository]struct{}{}, others: map[name.Repository][]name.Repository{},
	}
}

// close removes the file with manifests.
func (s *sources) close() error { return s.store.close() }

// resolve reads a source tag, once in a run.
func (s *sources) resolve(ctx context.Context, tag plan.SourceTag) plan.Resolution {
	r, err := s.tags.Do(ctx, tag, func() plan.Resolution {
		r := s.head(ctx, tag)
		if r.State == inventory.Absent {
			r.Digest, r.State, r.Err = s.from.Confirm(ctx, tag.Repository, tag.Tag)
		}
		if r.State == inventory.Present {
			s.mu.Lock()
			s.seen[repoDigest{tag.Repository, r.Digest.String()}] = struct{}{}
			s.mu.Unlock()
		}
		return r
	})
	if err != nil {
		return plan.Resolution{Err: err}
	}
	return r
}

// head reads a source tag, once a run, and does not confirm that it is absent.
func (s *sources) head(ctx context.Context, tag plan.SourceTag) plan.Resolution {
	r, err := s.heads.Do(ctx, tag, func() (r plan.Resolution) {
		r.Digest, r.State, r.Err = s.from.ResolveUnconfirmed(ctx, tag.Repository, tag.Tag)
		return r
	})
	if err != nil {
		return plan.Resolution{Err: err}
	}
	return r
}

// damage records a blob that a destination holds with other bytes.
func (s *sources) damage(at repoDigest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = append(s.damaged, at)
}

// see records the wanted digests that source tags have shown to be in the target already.
func (s *sources) see(t *plan.Target, have *inventory.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range t.Want.Entries {
		d := t.Want.Entries[i].Digest
		if _, ok := s.seen[repoDigest{t.Repository, d.String()}]; ok {
			have.SetDigest(d, inventory.Present)
		}
	}
}

// find looks a wanted digest up at its candidates for a destination host: the first that holds it.
func (s *sources) find(ctx context.Context, e *plan.Entry, dst name.Repository) plan.Finding {
	var unread []string
	var passed []func() // warnings of sources, which are errors unless something else is read
	for _, repo := range e.Candidates(dst.RegistryStr()) {
		if repo == dst {
			continue // it lacks the digest, or it would not be looked for
		}
		r := s.read(ctx, repo, e.Digest.String())
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
	src := e.Sources[0].Repository
	if len(e.Tags) == 0 || src == dst {
		return plan.Finding{State: inventory.Absent}
	}
	r := s.byTag(ctx, src, e.Digest.String(), e.Tags[0])
	if r.state == inventory.Present {
		s.found(e, src)
	}
	return plan.Finding{State: r.state, From: src, Err: r.err}
}

// byTag reads a manifest that no source holds by digest under a tag, once a run. A
// pull-through cache knows a digest only once its tag was pulled.
func (s *sources) byTag(ctx context.Context, repo name.Repository, digest, tag string) *sourceRead {
	key := repoDigest{repo, digest}
	r, err := s.tagged.Do(ctx, key, func() *sourceRead {
		m, err := s.from.Manifest(ctx, repo, tag)
		switch {
		case errors.Is(err, registry.ErrNotFound), err == nil && m.Digest.String() != digest:
			return &sourceRead{state: inventory.Absent}
		case err != nil:
			return &sourceRead{err: fmt.Errorf("reading tag %s: %w", tag, err)}
		}
		l, err := s.parse(m)
		if err != nil {
			return &sourceRead{err: err}
		}
		r := &sourceRead{state: inventory.Present, loaded: l}
		s.reads.Set(key, r)
		return r
	})
	if err != nil {
		return &sourceRead{err: err}
	}
	return r
}

func isSource(e *plan.Entry, repo name.Repository) bool {
	for _, s := range e.Sources {
		if s.Repository == repo {
			return true
		}
	}
	return false
}

// found remembers where else what belongs to a digest may be read.
func (s *sources) found(e *plan.Entry, from name.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, repo := range e.Candidates(from.RegistryStr()) {
		if repo != from && !slices.Contains(s.others[from], repo) {
			s.others[from] = append(s.others[from], repo)
		}
	}
}

// places returns where what belongs to a digest that a repository holds may be
// read: there, then at the other candidates.
func (s *sources) places(from name.Repository) []name.Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]name.Repository{from}, s.others[from]...)
}

// first reads a manifest from the first place that holds it, and returns the places
// with that one first; nil if none does.
func (s *sources) first(ctx context.Context, places []name.Repository, digest string) (*sourceRead, []name.Repository, error) {
	var unread error
	var passed name.Repository // that could not be read
	for i, repo := range places {
		r := s.read(ctx, repo, digest)
		switch {
		case r.state == inventory.Unknown && unread == nil:
			unread, passed = fmt.Errorf("reading %s@%s: %w", repo, digest, r.err), repo
		case r.state == inventory.Present:
			if unread != nil {
				s.passOver("source", passed, unread)
			}
			at := append([]name.Repository{repo}, places[:i]...)
			return r, append(at, places[i+1:]...), nil
		}
	}
	return nil, nil, unread
}

func (s *sources) passOver(side string, repo name.Repository, err error) {
	s.mu.Lock()
	_, told := s.failed[repo]
	s.failed[repo] = struct{}{}
	s.mu.Unlock()
	if !told {
		s.warn(fmt.Sprintf("passing over %s %s: %v", side, repo, err))
	}
}

// read reads a manifest by digest from one repository, once a run. That a reader was
// stopped says nothing of the manifest: the next one reads it itself.
func (s *sources) read(ctx context.Context, repo name.Repository, digest string) *sourceRead {
	key := repoDigest{repo, digest}
	for {
		r, err := s.reads.Do(ctx, key, func() *sourceRead {
			l, err := s.load(ctx, repo, digest)
			switch {
			case errors.Is(err, registry.ErrNotFound):
				return &sourceRead{state: inventory.Absent}
			case err != nil && ctx.Err() != nil:
				s.reads.Forget(key)
				return &sourceRead{err: err, stopped: true}
			case err != nil:
				return &sourceRead{err: err}
			}
			return &sourceRead{state: inventory.Present, loaded: l}
		})
		switch {
		case err != nil:
			return &sourceRead{err: err}
		case !r.stopped || ctx.Err() != nil:
			return r
		}
	}
}

func (s *sources) load(ctx context.Context, repo name.Repository, digest string) (*loaded, error) {
	m, err := s.from.Manifest(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	return s.parse(m)
}

// parse reads what a manifest points to, and keeps it.
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

// below reads a manifest by digest from a repository that a digest was found in, or
// from where else what belongs to that may be, and returns what it points to; nil if
// none of these holds it.
func (s *sources) below(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error) {
	r, _, err := s.first(ctx, s.places(repo), digest)
	if r == nil || err != nil {
		return nil, err
	}
	return r.content, nil
}

// hostBlob is a blob on a host, whose repositories may share it, as it is declared.
type hostBlob struct {
	host, digest string
	size         int64
}

type sizeRead struct {
	size int64
	err  error
}

// blobSize returns the size of a blob as a registry reports it, once a run for each host:
// the repository's, or one of those where else what belongs to its digests may be.
func (s *sources) blobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error) {
	var missing, unread error
	for _, at := range s.places(repo) {
		r, err := s.sizes.Do(ctx, hostBlob{at.RegistryStr(), d.Digest.String(), d.Size}, func() (r sizeRead) {
			r.size, r.err = s.from.BlobSize(ctx, at, d)
			return r
		})
		switch err = errors.Join(r.err, err); {
		case err == nil:
			return r.size, nil
		case errors.Is(err, registry.ErrNotFound):
			s.sizes.Forget(hostBlob{at.RegistryStr(), d.Digest.String(), d.Size}) // another repository of the host may hold it
			missing = err
		default:
			unread = err
		}
	}
	return 0, cmp.Or(unread, missing)
}

// content returns what a digest that was read points to, or nil.
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
