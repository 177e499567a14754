package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"golang.org/x/sync/errgroup"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/image"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/inventory"
)

// SnapshotOptions select what a snapshot contains.
type SnapshotOptions struct {
	Minimal bool                  // omit tagless digests that are children of an index in the repository
	Listed  bool                  // omit digests that are only known from an index
	Alone   bool                  // root is one repository; ignore repositories below it
	Tag     string                // include only digests that have this tag, with all their tags
	Keep    func(tag string) bool // leave out other tags, which are not read; nil: all tags
	Paths   bool                  // name images by their path on the host, not relative to root
	Step    func()                // called after each repository; may be nil

	// Select reports whether to include a digest. nil: each. Only Google's listing has
	// the time of the upload.
	Select func(name.Repository, Listed) bool
}

// repositoriesAtOnce is how many repositories a snapshot reads concurrently.
// The pace of the host limits the requests.
const repositoriesAtOnce = 64

// Snapshot reads all digests and tags at or below root.
//
// It finds repositories with Google's extension of the tag list or, if the host does
// not have that, with the catalog. If there is no catalog, it reads root as one
// repository and calls warn. Without Google's extension, a digest that has no tag is
// only found if it is a child of an index.
//
// It is an error if anything cannot be read, because a part of a snapshot looks like
// a registry that has lost the rest.
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
	images := s.images.Sort()
	if len(images) < len(s.images) { // root itself has the name of its last path element
		warn(fmt.Sprintf("%s and the repository %s below it are printed as one image", root, path.Base(root.Prefix)))
	}
	return images, nil
}

// snapshot builds one snapshot.
type snapshot struct {
	client  *Client
	root    image.Registry
	options SnapshotOptions
	ctx     context.Context //nolint:containedctx // the context of group
	group   *errgroup.Group

	mu     sync.Mutex
	images inventory.Snapshot
}

// read finds the repositories and starts to read each.
func (s *snapshot) read(warn func(string)) error {
	var self *Listing // the tag list of root, if root can be a repository
	var missing error
	repo := image.NewRepository(s.root.RegistryStr(), s.root.Prefix)
	if repo.RepositoryStr() != "" {
		var err error
		self, err = s.client.List(s.ctx, repo, s.options.Keep)
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

// unlisted reads root as one repository, because the catalog is missing or empty.
//
// A catalog can be empty because the account may only read some repositories.
func (s *snapshot) unlisted(root name.Repository, self *Listing, why, missing error, warn func(string)) error {
	switch {
	case missing != nil:
		return fmt.Errorf("%w, and %s is %w", why, root, missing)
	case self == nil: // a whole host is not a repository
		return why
	case self.Empty: // some registries answer so for repositories that do not exist
		return fmt.Errorf("%w, and %s has no tags: the repositories at or below it are unknown", why, root)
	}
	catalog := "no"
	if errors.Is(why, errEmptyCatalog) {
		catalog = "an empty"
	}
	warn(fmt.Sprintf("%s has %s catalog: %s is read as one repository", s.root.RegistryStr(), catalog, root))
	s.one(root, self)
	return nil
}

// listed starts to read the repositories in names that are at or below root.
//
// self is the tag list of root. Root is included even if names does not contain it,
// because an account may read repositories that are not in its catalog.
func (s *snapshot) listed(names []string, root name.Repository, self *Listing, warn func(string)) error {
	if self != nil && !self.Empty && !slices.Contains(names, root.RepositoryStr()) {
		warn(fmt.Sprintf("the catalog of %s does not name %s, which can be read: others may be missing as well", s.root.RegistryStr(), root))
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
			l, err := s.client.List(s.ctx, r, s.options.Keep)
			if errors.Is(err, ErrNotFound) { // the catalog can contain deleted repositories
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

// one starts to add one repository, unless its tag list is nil.
func (s *snapshot) one(r name.Repository, l *Listing) {
	if l != nil {
		s.group.Go(func() error { return s.take(r, l) })
	}
}

// walk adds root and repositories below it, using Google's extension.
//
// It reads one level after the other, so that the group never waits for itself.
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
			l, err := s.client.List(ctx, r, s.options.Keep)
			if errors.Is(err, ErrNotFound) { // it was deleted in the meantime
				return &Listing{}, nil
			}
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

// take adds one repository, with list l, to the snapshot.
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
		var more map[v1.Hash]Listed // tags in the list whose digests are not sha256
		more, err = s.resolve(repo, l.Tags)
		maps.Copy(digests, more)
	}
	if err != nil {
		return err
	}
	name, _ := s.root.Relative(repo)
	if s.options.Paths {
		name = repo.RepositoryStr()
	}
	img := inventory.Image{Name: name}
	for d, m := range digests {
		if _, child := children[d]; child && len(m.Tags) == 0 && s.options.Minimal {
			continue
		}
		if s.options.Tag != "" && !slices.Contains(m.Tags, s.options.Tag) {
			continue
		}
		if s.options.Select != nil && !s.options.Select(repo, m) {
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

// resolve returns the tags of each digest, with one HEAD for each tag.
func (s *snapshot) resolve(repo name.Repository, tags []string) (map[v1.Hash]Listed, error) {
	tags = distinctTags(tags)
	heads, err := each(s.ctx, tags, func(ctx context.Context, tag string) (headed, error) {
		h, err := s.client.head(ctx, repo, tag, listed)
		if err != nil && !errors.Is(err, ErrNotFound) { // a tag can be deleted at the same time
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

// children returns the children of all indexes in digests, including nested ones.
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
				return &Content{}, nil // the index itself, or a nested one, is missing
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
					continue // sha512 is not possible in manifests
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
