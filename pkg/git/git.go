// Package git reads git repositories: which commit files on disk belong to, what
// files a commit holds, and copies of remote repositories.
//
// It needs no git program and changes no work tree: a commit's files are an fs.FS
// over git's objects. What is in the files is not its business. Clones whose
// history is cut off are told as such, never as repositories without history.
package git

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// ErrNoRepository is what errors wrap about files that lie in no git repository.
var ErrNoRepository = errors.New("not in a git repository")

// ErrUnreadable is what errors wrap about objects of a commit that are lost, or left out of a partial clone.
var ErrUnreadable = errors.New("the git repository cannot be read")

// Repository is a git repository. Its methods are not safe for concurrent use.
type Repository struct {
	repo *git.Repository
	name string // as messages call it
}

// Open returns the repository that path, a file or directory, lies in, or a bare one at path.
func Open(path string) (*Repository, error) {
	abs, err := absolute(path)
	if err != nil {
		return nil, err
	}
	dir := abs
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		dir = filepath.Dir(abs)
	}
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		if repo, err = git.PlainOpen(dir); errors.Is(err, git.ErrRepositoryNotExists) {
			return nil, fmt.Errorf("%s: %w", path, ErrNoRepository)
		}
	}
	if errors.Is(err, git.ErrUnknownExtension) || errors.Is(err, git.ErrUnsupportedExtensionRepositoryFormatVersion) {
		repo, err = openExtended(dir)
	}
	if errors.Is(err, git.ErrUnknownExtension) && strings.Contains(err.Error(), "objectformat") {
		err = errors.New("its commits have SHA-256 ids, which cip does not read")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the git repository of %s: %w", path, err)
	}
	if disk, ok := repo.Storer.(*filesystem.Storage); ok {
		// By default go-git opens the pack anew for each object.
		repo.Storer = filesystem.NewStorageWithOptions(disk.Filesystem(), cache.NewObjectLRUDefault(), filesystem.Options{KeepDescriptors: true})
	}
	return &Repository{repo, path}, nil
}

// absolute returns path as the file system calls it.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// Resolve returns the id of the commit that rev names: a branch, tag, id or
// abbreviation, with suffixes such as ~1 (gitrevisions(7)).
func (r *Repository) Resolve(rev string) (string, error) {
	hash, err := r.repo.ResolveRevision(plumbing.Revision(rev))
	if err == nil {
		_, err = r.repo.CommitObject(*hash)
	}
	if err == nil {
		return hash.String(), nil
	}
	// EOF is go-git's answer where history ends before ~N.
	if errors.Is(err, plumbing.ErrReferenceNotFound) || errors.Is(err, plumbing.ErrObjectNotFound) || errors.Is(err, io.EOF) {
		err = errors.New("no such revision")
		switch {
		case r.shallow():
			err = errors.New("no such revision in this shallow clone: fetch it first")
		case r.borrows():
			err = errors.New("no such revision in this clone itself, and those it borrows objects from are not read: git repack -a -d brings them here")
		}
	}
	return "", fmt.Errorf("reading revision %q of the git repository of %s: %w", rev, r.name, err)
}

// shallow reports whether history is cut off.
func (r *Repository) shallow() bool {
	cut, err := r.repo.Storer.Shallow()
	return err == nil && len(cut) > 0
}

// borrows reports whether objects may be in other clones, as git clone --shared leaves them.
func (r *Repository) borrows() bool {
	disk, ok := r.repo.Storer.(*filesystem.Storage)
	if !ok {
		return false
	}
	_, err := disk.Filesystem().Stat("objects/info/alternates")
	return err == nil
}

// Within returns what the tree of a commit calls path, a file or directory of the
// work tree: slash-separated and relative to its root, "." for the root itself.
func (r *Repository) Within(path string) (string, error) {
	work, err := r.repo.Worktree()
	if err != nil {
		return "", fmt.Errorf("finding %s in its git repository: %w", path, err)
	}
	abs, err := absolute(path)
	if err != nil {
		return "", err
	}
	root, err := filepath.EvalSymlinks(work.Filesystem.Root())
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil {
		return "", err
	}
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not in the git repository of %s", path, r.name)
	}
	return filepath.ToSlash(rel), nil
}

// Named returns what Within does, with the symbolic links that the repository has on
// the way: in another commit they may lead elsewhere.
func (r *Repository) Named(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for i := range len(abs) + 1 {
		if i < len(abs) && (i == 0 || !os.IsPathSeparator(abs[i])) {
			continue
		}
		if entry, err := r.Within(abs[:i]); err == nil { // the first element that is inside
			return filepath.ToSlash(filepath.Join(entry, abs[i:])), nil
		}
	}
	return r.Within(path)
}

// commit returns a commit by its id.
func (r *Repository) commit(id string) (*object.Commit, error) {
	c, err := r.repo.CommitObject(plumbing.NewHash(id))
	if err != nil {
		return nil, fmt.Errorf("reading commit %s of the git repository of %s: %w", id, r.name, err)
	}
	return c, nil
}
