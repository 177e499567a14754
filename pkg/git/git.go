// Package git reads git repositories, and pushes commits to new branches.
//
// It finds the commit that files on disk belong to, reads the files and the history
// of commits, and fetches remote repositories. This does not need the git program: the
// files of a commit are an fs.FS over git objects. A Draft does, since a push uses what
// the user has set up for it: a commit is made in a temporary repository and pushed as a
// new branch. The package never changes a work tree, an index or a branch that exists,
// and it never interprets the files. If the history of a shallow clone ends before the
// answer, the error says so.
package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// ErrNoRepository is wrapped by errors about files outside of repositories.
var ErrNoRepository = errors.New("not in a git repository")

// ErrUnreadable is wrapped by errors about missing or damaged objects.
//
// A partial clone leaves out objects.
var ErrUnreadable = errors.New("the git repository cannot be read")

// maxTrees is the number of trees that are kept.
const maxTrees = 256

// Repository is a git repository. Its methods are not safe for concurrent use.
type Repository struct {
	repo  *git.Repository
	name  string                         // for messages
	trees map[plumbing.Hash]*object.Tree // the last ones that were read, see maxTrees
}

// Open opens the repository that contains path.
//
// path is a file or a directory of a work tree, or a bare repository.
func Open(path string) (*Repository, error) {
	abs, err := absolute(path)
	if err != nil {
		return nil, err
	}
	dir := abs
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		dir = filepath.Dir(abs)
	}
	var repo *git.Repository
	dot, work, err := findDot(dir)
	if err == nil {
		repo, err = openDot(dot, work)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, git.ErrRepositoryNotExists) {
		if repo, err = openDot(dir, ""); errors.Is(err, git.ErrRepositoryNotExists) {
			return nil, fmt.Errorf("%s: %w", path, ErrNoRepository)
		}
	}
	if errors.Is(err, git.ErrUnknownExtension) && strings.Contains(err.Error(), "objectformat") {
		err = errors.New("its commits have SHA-256 ids, which cip does not read")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the git repository of %s: %w", path, err)
	}
	return &Repository{repo: repo, name: path}, nil
}

// absolute returns the absolute path without symbolic links.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return "", fmt.Errorf("reading %s: %w", path, p.Err)
	}
	return resolved, err
}

// Resolve returns the commit id that a revision names.
//
// The revision is a branch, a tag, an id or an abbreviation of one, with suffixes
// such as ~1 (gitrevisions(7)). A branch or tag wins over an abbreviation, as in git.
func (r *Repository) Resolve(rev string) (string, error) {
	full := rev
	if end := strings.IndexAny(rev+"^", "^~"); !IsID(rev[:end]) {
		if ref := r.ref(rev[:end]); ref != "" {
			full = ref + rev[end:]
		}
	}
	hash, err := r.repo.ResolveRevision(plumbing.Revision(full))
	if err == nil {
		_, err = r.repo.CommitObject(*hash)
	}
	if err == nil {
		return hash.String(), nil
	}
	// go-git returns EOF if the history ends before ~N.
	if errors.Is(err, plumbing.ErrReferenceNotFound) || errors.Is(err, plumbing.ErrObjectNotFound) || errors.Is(err, io.EOF) {
		err = errors.New("no such revision")
		switch {
		case r.shallow():
			err = errors.New("no such revision in this shallow clone: fetch it first")
		case r.borrows():
			err = errors.New("no such revision in this clone, and the clones that it borrows objects from are not read: git repack -a -d copies the objects")
		}
	}
	return "", fmt.Errorf("reading revision %q of the git repository of %s: %w", rev, r.name, err)
}

// ref returns the full name of a branch or tag, or "" if there is none.
func (r *Repository) ref(name string) string {
	if name == "" || strings.Contains(name, "..") {
		return ""
	}
	for _, rule := range plumbing.RefRevParseRules {
		full := plumbing.ReferenceName(fmt.Sprintf(rule, name))
		if !strings.HasPrefix(full.String(), "refs/") {
			continue // HEAD, or a file of git
		}
		if _, err := storer.ResolveReference(r.repo.Storer, full); err == nil {
			return full.String()
		}
	}
	return ""
}

// shallow reports whether the repository is a shallow clone.
func (r *Repository) shallow() bool {
	cut, err := r.repo.Storer.Shallow()
	return err == nil && len(cut) > 0
}

// borrows reports whether objects may be in other clones.
//
// git clone --shared makes such a clone.
func (r *Repository) borrows() bool {
	disk, ok := r.repo.Storer.(*filesystem.Storage)
	if !ok {
		return false
	}
	_, err := disk.Filesystem().Stat("objects/info/alternates")
	return err == nil
}

// Within returns the path of a file or directory in the trees of commits.
//
// The result is slash-separated and relative to the root of the work tree, which is
// ".". Symbolic links are resolved.
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

// Named is Within, but it does not resolve symbolic links in the repository.
//
// In another commit they may have other targets.
func (r *Repository) Named(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for i := range len(abs) + 1 {
		if i < len(abs) && (i == 0 || !os.IsPathSeparator(abs[i])) {
			continue
		}
		if entry, err := r.Within(abs[:i]); err == nil { // the shortest prefix in the work tree
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
