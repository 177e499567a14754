package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/auth"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/registry/internal/wire"
)

// SnapshotOptions say what of a registry to tell.
type SnapshotOptions struct {
	Minimal bool   // leave out tagless digests that an index of the repository names
	Listed  bool   // leave out digests that only an index tells of: off Google's listing, those without a tag
	Alone   bool   // root is one repository: what is below it is not looked for
	Tag     string // tell only digests that carry this tag, with all their tags
	Step    func() // called after each repository; may be nil
}

// repositoriesAtOnce is how many repositories a snapshot reads at once; the host's pace bounds the requests.
const repositoriesAtOnce = 64

// Snapshot reads what a registry, or a part of one, holds. Repositories are found by
// Google's listing where the host speaks it, else by the catalog, else root itself is
// taken as one repository, which warn is told of. On hosts without Google's listing a
// digest without a tag is known only if an index names it. Whatever cannot be read is
// an error: half a snapshot looks like a registry that has lost the other half.
func (c *Client) Snapshot(ctx context.Context, root image.Registry, o SnapshotOptions, warn func(string)) (inventory.Snapshot, error) {
	s := &snapshot{client: c, root: root, options: o}
	if s.options.Step == nil {
		s.options.Step = func() {}
	}
	s.group, s.ctx = errgroup.WithContext(ctx)
	s.group.SetLimit(repositoriesAtOnce)
	err := s.read(warn)
	if wait := s.group.Wait(); err == nil || wait != nil && ctx.Err() == nil {
		err = wait
	}
	if err != nil {
		return nil, fmt.Errorf("reading registry %s: %w", root, err)
	}
	return s.images.Sort(), nil
}

// snapshot is one snapshot being taken.
type snapshot struct {
	client  *Client
	root    image.Registry
	options SnapshotOptions
	ctx     context.Context //nolint:containedctx // of the group, which lives as long
	group   *errgroup.Group

	mu     sync.Mutex
	images inventory.Snapshot
}

// read starts reading every repository that it finds.
func (s *snapshot) read(warn func(string)) error {
	var self *Listing // of root, if that can be a repository
	var missing error
	repo := image.NewRepository(s.root.RegistryStr(), s.root.Prefix)
	if repo.RepositoryStr() != "" {
		var err error
		self, err = s.client.List(s.ctx, repo, nil)
		switch {
		case errors.Is(err, ErrNotFound) && !s.options.Alone:
			self, missing = nil, err
		case err != nil:
			return err
		case s.options.Alone:
			s.one(repo, self)
			return nil
		case self.Extended:
			s.walk(repo, self)
			return nil
		}
	}
	names, err := s.client.catalog(s.ctx, s.root.RegistryStr())
	switch {
	case errors.Is(err, errNoCatalog), err == nil && len(names) == 0 && repo.RepositoryStr() != "":
		return s.unlisted(repo, self, cmp.Or(err, errEmptyCatalog), missing, warn)
	case err != nil:
		return err
	}
	return s.listed(names, repo, self, warn)
}

// unlisted takes root as one repository: no catalog tells what is there, since there is
// none, or since it names nothing at all, as one does for an account that may read some
// repositories only.
func (s *snapshot) unlisted(root name.Repository, self *Listing, why, missing error, warn func(string)) error {
	switch {
	case missing != nil:
		return fmt.Errorf("%w, and %s is %w", why, root, missing)
	case self == nil: // a whole host is not a repository
		return why
	case len(self.Tags) == 0: // as some registries answer for what does not exist
		return fmt.Errorf("%w, and %s has no tags: nothing tells what is at or below it", why, root)
	}
	catalog := "no"
	if errors.Is(why, errEmptyCatalog) {
		catalog = "an empty"
	}
	warn(fmt.Sprintf("%s has %s catalog: %s is read as one repository", s.root.RegistryStr(), catalog, root))
	s.one(root, self)
	return nil
}

// listed takes the repositories among names that are at root or below it; self is the
// listing of the one at root, which has been read. It is taken where names lacks it, too:
// an account may read what its catalog does not name.
func (s *snapshot) listed(names []string, root name.Repository, self *Listing, warn func(string)) error {
	if self != nil && len(self.Tags) > 0 && !slices.Contains(names, root.RepositoryStr()) {
		warn(fmt.Sprintf("the catalog of %s does not name %s, which can be read: it may lack others, too", s.root.RegistryStr(), root))
		names = append(slices.Clip(names), root.RepositoryStr())
	}
	var repos []name.Repository
	for _, name := range names {
		if r, err := (image.NewRegistry(s.root.RegistryStr(), "")).Repository(name); err == nil {
			if _, ok := s.root.Relative(r); ok {
				repos = append(repos, r)
			}
		}
	}
	if len(repos) == 0 {
		warn(fmt.Sprintf("the catalog of %s names no repository at or below %s", s.root.RegistryStr(), s.root))
	}
	s.client.ExpectReads(repos)
	for _, r := range repos {
		if r == root {
			s.one(r, self)
			continue
		}
		s.group.Go(func() error {
			l, err := s.client.List(s.ctx, r, nil)
			if errors.Is(err, ErrNotFound) { // the catalog remembers what is gone
				return nil
			}
			if err != nil {
				return fmt.Errorf("listing tags of %s: %w", r, err)
			}
			return s.take(r, l)
		})
	}
	return nil
}

func (s *snapshot) one(r name.Repository, l *Listing) {
	if l != nil {
		s.group.Go(func() error { return s.take(r, l) })
	}
}

// walk takes a repository of Google's listing and goes down to its children. It
// reads each level before the next, so that the group never waits for itself.
func (s *snapshot) walk(root name.Repository, self *Listing) {
	type found struct {
		repo name.Repository
		list *Listing
	}
	level := []found{{root, self}}
	for total := 1; len(level) > 0; total += len(level) {
		if total > maxNames {
			s.group.Go(func() error { return fmt.Errorf("more than %d repositories", maxNames) })
			return
		}
		var next []name.Repository
		for _, f := range level {
			s.one(f.repo, f.list)
			for _, child := range f.list.Children {
				if r, err := (image.NewRegistry(f.repo.RegistryStr(), f.repo.RepositoryStr())).Repository(child); err == nil {
					next = append(next, r)
				}
			}
		}
		s.client.ExpectReads(next)
		lists, err := each(s.ctx, next, func(ctx context.Context, r name.Repository) (*Listing, error) {
			l, err := s.client.List(ctx, r, nil)
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", r, err)
			}
			return l, nil
		})
		if err != nil {
			s.group.Go(func() error { return err })
			return
		}
		level = level[:0]
		for i, l := range lists {
			level = append(level, found{next[i], l})
		}
	}
}

// take adds one repository to the snapshot.
func (s *snapshot) take(repo name.Repository, l *Listing) error {
	defer s.options.Step()
	if s.options.Tag != "" && !l.Extended && !slices.Contains(l.Tags, s.options.Tag) {
		return nil
	}
	digests := l.Digests
	var children map[v1.Hash]struct{}
	var err error
	switch {
	case !l.Extended:
		digests, err = s.resolve(repo, l.Tags)
		if err == nil && !s.options.Minimal && !s.options.Listed && s.options.Tag == "" {
			children, err = s.children(repo, digests)
		}
		for d := range children {
			if _, ok := digests[d]; !ok {
				digests[d] = Listed{}
			}
		}
	case s.options.Minimal && hasTagless(digests):
		children, err = s.children(repo, digests)
	}
	if err == nil && l.Extended && len(l.Tags) > 0 {
		var more map[v1.Hash]Listed // tags of digests that are no sha256 in the listing
		more, err = s.resolve(repo, l.Tags)
		maps.Copy(digests, more)
	}
	if err != nil {
		return err
	}
	name, _ := s.root.Relative(repo)
	img := inventory.Image{Name: name}
	for d, m := range digests {
		if _, child := children[d]; child && len(m.Tags) == 0 && s.options.Minimal {
			continue
		}
		if s.options.Tag != "" && !slices.Contains(m.Tags, s.options.Tag) {
			continue
		}
		img.Digests = append(img.Digests, inventory.Tagged{Digest: d, Tags: m.Tags})
	}
	if len(img.Digests) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images = append(s.images, img)
	return nil
}

func hasTagless(digests map[v1.Hash]Listed) bool {
	for _, m := range digests {
		if len(m.Tags) == 0 {
			return true
		}
	}
	return false
}

// resolve asks for the digest of every tag.
func (s *snapshot) resolve(repo name.Repository, tags []string) (map[v1.Hash]Listed, error) {
	tags = slices.Clone(tags)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	heads, err := each(s.ctx, tags, func(ctx context.Context, tag string) (headed, error) {
		h, err := s.client.head(ctx, repo, tag, listed)
		if err != nil && !errors.Is(err, ErrNotFound) { // a tag may go while we read
			return headed{}, fmt.Errorf("reading %s: %w", repo.Tag(tag).String(), err)
		}
		return h, nil
	})
	if err != nil {
		return nil, err
	}
	digests := map[v1.Hash]Listed{}
	for i, h := range heads {
		if h.digest != (v1.Hash{}) {
			digests[h.digest] = Listed{MediaType: h.mediaType, Tags: append(digests[h.digest].Tags, tags[i])}
		}
	}
	return digests, nil
}

// children returns what the indexes among digests name, and the indexes below them.
func (s *snapshot) children(repo name.Repository, digests map[v1.Hash]Listed) (map[v1.Hash]struct{}, error) {
	all := map[v1.Hash]struct{}{}
	var level []v1.Hash
	for d, m := range digests {
		if m.MediaType.IsIndex() {
			level = append(level, d)
		}
	}
	for len(level) > 0 {
		contents, err := each(s.ctx, level, func(ctx context.Context, d v1.Hash) (*Content, error) {
			m, err := s.client.Manifest(ctx, repo, d.String())
			if errors.Is(err, ErrNotFound) {
				return &Content{}, nil // an index may name what is not there
			}
			if err != nil {
				return nil, fmt.Errorf("reading index %s: %w", repo.Digest(d.String()).String(), err)
			}
			return m.Parse()
		})
		if err != nil {
			return nil, err
		}
		level = level[:0]
		for _, content := range contents {
			for _, child := range content.Children {
				d, err := image.ParseDigest(child.Digest.String())
				if err != nil {
					continue // sha512: no dmap can name it
				}
				if _, known := all[d]; !known {
					all[d] = struct{}{}
					if child.MediaType.IsIndex() {
						level = append(level, d)
					}
				}
			}
		}
	}
	return all, nil
}

// errNoCatalog says that a host does not list its repositories.
var errNoCatalog = errors.New("the registry lists no repositories")

// errEmptyCatalog says that a host's list of repositories is empty.
var errEmptyCatalog = errors.New("the registry's catalog is empty")

// catalog returns the names of all repositories of a host.
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
			return nil, errors.New("parsing the catalog: it names no repositories")
		}
		return func() int {
			names = append(names, page...)
			return len(page)
		}, nil
	})
	var e *Error
	var scope *auth.RefusedError
	if errors.As(err, &scope) && scope.Status != http.StatusUnauthorized {
		return nil, errNoCatalog
	}
	if errors.As(err, &e) {
		switch e.Status {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnauthorized, http.StatusForbidden:
			return nil, errNoCatalog // the ping was fine, or there would be another error
		}
	}
	return names, err
}
