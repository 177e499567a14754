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

	reads  memo.Map[repoDigest, *loaded]
	tagged memo.Map[repoDigest, *loaded] // read by tag
	heads  memo.Map[plan.SourceTag, plan.Resolution]
	tags   memo.Map[plan.SourceTag, plan.Resolution]
	sizes  memo.Map[hostBlob, int64]

	mu      sync.Mutex
	seen    map[repoDigest]struct{} // that source tags point to
	known   map[string]*loaded      // by digest: the first read that succeeded
	unions  map[string]*merged      // by digest: manifests that no source has
	store   spill
	damaged []repoDigest                          // blobs of destinations with wrong bytes
	failed  map[name.Repository]struct{}          // repositories with a warning
	others  map[name.Repository][]name.Repository // other candidates for the content of a repository
}

// loaded is a manifest that was read. Its bytes are in the spill.
type loaded struct {
	digest    string
	mediaType types.MediaType
	content   *registry.Content
	at        span
}

// newSources returns sources that are read from a reader. warn is called once for each
// repository that is passed over.
func newSources(from reader, warn func(string)) *sources {
	return &sources{
		from: from, warn: warn, seen: map[repoDigest]struct{}{}, known: map[string]*loaded{}, unions: map[string]*merged{}, failed: map[name.Repository]struct{}{}, others: map[name.Repository][]name.Repository{},
	}
}

// close removes the file with manifests.
func (s *sources) close() error { return s.store.close() }

// resolve reads a source tag, once in a run.
func (s *sources) resolve(ctx context.Context, tag plan.SourceTag) plan.Resolution {
	r, err := s.tags.Do(ctx, tag, func() (plan.Resolution, error) {
		r := s.head(ctx, tag)
		if r.State == inventory.Absent {
			r.Digest, r.State, r.Err = s.from.Confirm(ctx, tag.Repository, tag.Tag)
		}
		if r.State == inventory.Present {
			s.mu.Lock()
			s.seen[repoDigest{tag.Repository, r.Digest.String()}] = struct{}{}
			s.mu.Unlock()
		}
		return r, r.Err
	})
	r.Err = err
	return r
}

// head reads a source tag, once in a run. It does not confirm that a tag is absent.
func (s *sources) head(ctx context.Context, tag plan.SourceTag) plan.Resolution {
	r, err := s.heads.Do(ctx, tag, func() (r plan.Resolution, err error) {
		r.Digest, r.State, err = s.from.ResolveUnconfirmed(ctx, tag.Repository, tag.Tag)
		return r, err
	})
	r.Err = err
	return r
}

// damage records a destination's blob with wrong bytes.
func (s *sources) damage(at repoDigest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = append(s.damaged, at)
}

// see adds to have the wanted digests that source tags in the same repository point to.
func (s *sources) see(t *plan.Target, have *inventory.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 { // mostly: no retag entry was read
		return
	}
	for i := range t.Want.Entries {
		d := t.Want.Entries[i].Digest
		if _, ok := s.seen[repoDigest{t.Repository, d.String()}]; ok {
			have.SetDigest(d, inventory.Present)
		}
	}
}

// find returns the first candidate for an entry that has its digest.
func (s *sources) find(ctx context.Context, e *plan.Entry, dst name.Repository) plan.Finding {
	var unread []string
	var why []error
	var passed []func() // warnings about sources; unused if the digest is found nowhere
	for _, repo := range e.Candidates(dst.RegistryStr()) {
		if repo == dst {
			continue // the destination does not have it
		}
		_, err := s.read(ctx, repo, e.Digest.String())
		switch {
		case err == nil:
			for _, warn := range passed {
				warn()
			}
			s.found(e, repo)
			return plan.Finding{State: inventory.Present, From: repo}
		case !errors.Is(err, registry.ErrNotFound):
			if isSource(e, repo) {
				passed = append(passed, func() { s.passOver("source", repo, err) })
			} else {
				s.passOver("mirror", repo, err)
			}
			text := err.Error()
			if repo != e.Sources[0].Repository {
				text = repo.String() + ": " + text
			}
			unread, why = append(unread, text), append(why, err)
		}
	}
	if unread != nil {
		return plan.Finding{State: inventory.Unknown, Err: inventory.RetryableAs(errors.New(strings.Join(unread, "; ")), why...)}
	}
	src := e.Sources[0].Repository
	if len(e.Tags) == 0 || src == dst {
		return plan.Finding{State: inventory.Absent}
	}
	switch _, err := s.byTag(ctx, src, e.Digest.String(), e.Tags[0]); {
	case err == nil:
		s.found(e, src)
		return plan.Finding{State: inventory.Present, From: src}
	case errors.Is(err, registry.ErrNotFound):
		return plan.Finding{State: inventory.Absent}
	default:
		return plan.Finding{State: inventory.Unknown, Err: err}
	}
}

// byTag reads a manifest by tag, once in a run. The error is registry.ErrNotFound if the tag
// does not lead to the digest. A pull-through cache finds a digest only after its tag was
// pulled.
func (s *sources) byTag(ctx context.Context, repo name.Repository, digest, tag string) (*loaded, error) {
	key := repoDigest{repo, digest}
	return s.tagged.Do(ctx, key, func() (*loaded, error) {
		m, err := s.from.Manifest(ctx, repo, tag)
		switch {
		case errors.Is(err, registry.ErrNotFound), err == nil && m.Digest.String() != digest:
			return nil, registry.ErrNotFound
		case err != nil:
			return nil, fmt.Errorf("reading tag %s: %w", tag, err)
		}
		l, err := s.keep(m)
		if err == nil {
			s.reads.Set(key, l)
		}
		return l, err
	})
}

func isSource(e *plan.Entry, repo name.Repository) bool {
	return slices.ContainsFunc(e.Sources, func(s *plan.Source) bool { return s.Repository == repo })
}

// found records other candidates for the content of a digest.
func (s *sources) found(e *plan.Entry, from name.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, repo := range e.Candidates(from.RegistryStr()) {
		if repo != from && !slices.Contains(s.others[from], repo) {
			s.others[from] = append(s.others[from], repo)
		}
	}
}

// candidates returns the repositories that the content of a digest may be read from:
// the one that has the digest, then the others.
func (s *sources) candidates(from name.Repository) []name.Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]name.Repository{from}, s.others[from]...)
}

// first reads a manifest from the first candidate that has it, and returns the
// candidates with that one first. It returns nil if none has it.
func (s *sources) first(ctx context.Context, candidates []name.Repository, digest string) (*loaded, []name.Repository, error) {
	var unread error
	var passed name.Repository // a candidate that could not be read
	for i, repo := range candidates {
		l, err := s.read(ctx, repo, digest)
		switch {
		case err == nil:
			if unread != nil {
				s.passOver("source", passed, unread)
			}
			at := append([]name.Repository{repo}, candidates[:i]...)
			return l, append(at, candidates[i+1:]...), nil
		case unread == nil && !errors.Is(err, registry.ErrNotFound):
			unread, passed = fmt.Errorf("reading %s@%s: %w", repo, digest, err), repo
		}
	}
	return nil, nil, unread
}

// passOver warns once of a repository that could not be read.
func (s *sources) passOver(side string, repo name.Repository, err error) {
	s.mu.Lock()
	_, warned := s.failed[repo]
	s.failed[repo] = struct{}{}
	s.mu.Unlock()
	if !warned {
		s.warn(fmt.Sprintf("passing over %s %s: %v", side, repo, err))
	}
}

// read reads a manifest by digest from one repository, once in a run. The error is
// registry.ErrNotFound if the repository does not have it.
func (s *sources) read(ctx context.Context, repo name.Repository, digest string) (*loaded, error) {
	return s.reads.Do(ctx, repoDigest{repo, digest}, func() (*loaded, error) {
		m, err := s.from.Manifest(ctx, repo, digest)
		switch {
		case errors.Is(err, registry.ErrNotFound):
			return nil, registry.ErrNotFound // without the request, which says no more
		case err != nil:
			return nil, err
		}
		return s.keep(m)
	})
}

// below reads the content of a manifest by digest. repo is the repository that it, or a
// parent, was found in; other candidates are tried after that. It returns nil if none
// has the manifest.
func (s *sources) below(ctx context.Context, repo name.Repository, digest string) (*registry.Content, error) {
	l, _, err := s.first(ctx, s.candidates(repo), digest)
	if l == nil || err != nil {
		return nil, err
	}
	return l.content, nil
}

// hostBlob is a blob on a host, with declared size.
type hostBlob struct {
	host, digest string
	size         int64
}

// blobSize returns the size of a blob that a registry reports. It asks the repository,
// then other candidates for its content, each host once in a run.
func (s *sources) blobSize(ctx context.Context, repo name.Repository, d v1.Descriptor) (int64, error) {
	var missing, unread error
	for _, at := range s.candidates(repo) {
		key := hostBlob{at.RegistryStr(), d.Digest.String(), d.Size}
		size, err := s.sizes.Do(ctx, key, func() (int64, error) { return s.from.BlobSize(ctx, at, d) })
		switch {
		case err == nil:
			return size, nil
		case errors.Is(err, registry.ErrNotFound):
			s.sizes.Forget(key) // another repository of the host may hold it
			missing = err
		default:
			unread = err
		}
	}
	return 0, cmp.Or(unread, missing)
}
