package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/secret"
)

// origin is the name of the remote that a repository was copied from.
const origin = "origin"

// Remote is one branch of a repository that is identified by a URL.
//
// If the URL is a path or has the scheme file, the repository is opened without
// making a copy.
type Remote struct {
	URL    string // https, ssh, user@host:path, file, or a path
	Branch string // empty: the branch that HEAD names
	Dir    string // for a bare copy that is reused by the next Fetch; empty: a new copy in memory each time
	Depth  int    // commits of history to copy; 0: all
	Limits Limits // of the size and duration of a fetch
}

// NoBranchError is the error about a missing branch.
type NoBranchError struct{ Repository, Branch string }

func (e *NoBranchError) Error() string {
	return fmt.Sprintf("the git repository of %s has no branch %s", e.Repository, e.Branch)
}

// Fetch updates the copy and returns it.
//
// head is the id of the commit at the head of the branch.
func (m Remote) Fetch(ctx context.Context) (r *Repository, head string, err error) {
	if path, ok := m.path(); ok {
		return m.inPlace(path)
	}
	repo, err := m.open()
	if err != nil {
		return nil, "", fmt.Errorf("opening the copy of %s in %s: %w", m, m.Dir, err)
	}
	watchHTTP()
	w := &watch{Limits: m.Limits.orDefault(m.Dir == "")}
	ctx, cancel, reason := w.watched(ctx)
	defer cancel()
	branch := plumbing.NewBranchReferenceName(m.Branch)
	if m.Branch == "" {
		if branch, err = defaultBranch(ctx, repo); err != nil {
			return nil, "", fmt.Errorf("reading the branches of %s: %w", m, m.hide(reason(err)))
		}
	}
	before, store := m.temporary(), repo.Storer
	repo.Storer = checked{store, ctx, w, m.Dir}
	err = repo.FetchContext(ctx, &git.FetchOptions{
		RemoteName: origin,
		RefSpecs:   []config.RefSpec{config.RefSpec("+" + branch + ":" + branch)},
		Depth:      m.Depth,
		Tags:       git.NoTags,
		Force:      true,
	})
	repo.Storer = store
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		m.sweep(before)
		if errors.Is(err, git.NoMatchingRefSpecError{}) || errors.Is(err, transport.ErrEmptyRemoteRepository) {
			return nil, "", &NoBranchError{m.String(), branch.Short()}
		}
		return nil, "", fmt.Errorf("fetching branch %s of %s: %w", branch.Short(), m, m.hide(reason(err)))
	}
	r = &Repository{repo: repo, name: m.String()}
	head, err = r.branch(branch)
	return r, head, err
}

// temporary returns the temporary packs in the copy.
//
// They belong to a fetch that is running or has failed.
func (m Remote) temporary() []string {
	if m.Dir == "" {
		return nil
	}
	found, _ := filepath.Glob(filepath.Join(m.Dir, "objects", "pack", "tmp_pack_*")) // the only error is about a malformed pattern
	return found
}

// sweep removes the temporary packs of a failed fetch.
//
// go-git leaves them there, so repeated failures would fill the disk.
func (m Remote) sweep(before []string) {
	for _, name := range m.temporary() {
		if !slices.Contains(before, name) {
			_ = os.Remove(name)
		}
	}
}

// String returns the URL without credentials.
func (m Remote) String() string {
	u, err := url.Parse(m.URL)
	if err != nil {
		scheme, rest, ok := strings.Cut(m.URL, "://")
		if at := strings.LastIndexByte(rest, '@'); ok && at >= 0 {
			return scheme + "://" + rest[at+1:]
		}
		return m.URL
	}
	if u.User == nil {
		return m.URL
	}
	_, password := u.User.Password()
	switch {
	case u.Scheme != "ssh":
		u.User = nil // the user name may be a token
	case password:
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// hide removes the credentials of the URL from the text of an error.
//
// net/http replaces the password by stars but leaves the user name, which may be a
// token. A server may also repeat the credentials that it was sent, in any encoding.
func (m Remote) hide(err error) error {
	u, bad := url.Parse(m.URL)
	if bad != nil || m.String() == m.URL {
		return err
	}
	text := strings.ReplaceAll(err.Error(), m.URL, m.String())
	text = strings.ReplaceAll(text, u.User.String()+"@", "")
	text = strings.ReplaceAll(text, url.User(u.User.Username()).String()+":***@", "")
	var sent secret.Set
	password, _ := u.User.Password()
	sent.AddPair(u.User.Username(), password)
	if text = sent.Redact(text); text == err.Error() {
		return err
	}
	return errors.New(text)
}

// Local reports whether the URL is a path, or has the scheme file.
func (m Remote) Local() bool {
	_, ok := m.path()
	return ok
}

// path returns the path of a local URL.
func (m Remote) path() (string, bool) {
	if rest, ok := strings.CutPrefix(m.URL, "file://"); ok {
		return filepath.FromSlash(strings.TrimPrefix(rest, "localhost")), true
	}
	if strings.Contains(m.URL, "://") {
		return "", false
	}
	// user@host:path is ssh, unless such a file exists (git-clone(1), "GIT URLS").
	before, _, colon := strings.Cut(m.URL, ":")
	if colon && !strings.Contains(before, "/") && len(before) > 1 {
		_, err := os.Stat(m.URL)
		return m.URL, err == nil
	}
	return m.URL, true
}

// inPlace opens a local repository.
func (m Remote) inPlace(path string) (*Repository, string, error) {
	r, err := Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("opening git repository %s: no such file or directory", path)
	}
	if err != nil {
		return nil, "", err
	}
	if m.Branch == "" {
		head, err := r.Resolve(plumbing.HEAD.String())
		return r, head, err
	}
	head, err := r.branch(plumbing.NewBranchReferenceName(m.Branch), plumbing.NewRemoteReferenceName(origin, m.Branch))
	return r, head, err
}

// branch returns the id of the commit at the head of a branch.
//
// It uses the first of the names that exists.
func (r *Repository) branch(names ...plumbing.ReferenceName) (string, error) {
	for _, name := range names {
		ref, err := r.repo.Reference(name, true)
		if errors.Is(err, plumbing.ErrReferenceNotFound) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("reading branch %s of the git repository of %s: %w", name.Short(), r.name, err)
		}
		_, err = r.commit(ref.Hash().String())
		return ref.Hash().String(), err
	}
	return "", &NoBranchError{r.name, names[0].Short()}
}

// open returns the copy, empty before the first fetch.
func (m Remote) open() (*git.Repository, error) {
	var store storage.Storer = memory.NewStorage()
	if m.Dir != "" {
		store = filesystem.NewStorageWithOptions(osfs.New(m.Dir), cache.NewObjectLRUDefault(), filesystem.Options{KeepDescriptors: true})
	}
	repo, err := git.Open(store, nil)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		if repo, err = git.Init(store, nil); err == nil {
			_, err = repo.CreateRemote(&config.RemoteConfig{Name: origin, URLs: []string{m.URL}})
		}
	}
	if err != nil {
		return nil, err
	}
	from, err := repo.Remote(origin)
	if err != nil {
		return nil, err
	}
	if from.Config().URLs[0] != m.URL {
		return nil, fmt.Errorf("it is a copy of %s", Remote{URL: from.Config().URLs[0]})
	}
	return repo, nil
}

// defaultBranch returns the branch that HEAD of the origin names.
func defaultBranch(ctx context.Context, repo *git.Repository) (plumbing.ReferenceName, error) {
	from, err := repo.Remote(origin)
	if err != nil {
		return "", err
	}
	refs, err := from.ListContext(ctx, &git.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, ref := range refs {
		if ref.Name() == plumbing.HEAD && ref.Type() == plumbing.SymbolicReference {
			return ref.Target(), nil
		}
	}
	return "", errors.New("it has no default branch: name a branch")
}
