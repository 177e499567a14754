package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// harmless are repository extensions that do not affect how objects are read.
//
// Sparse checkouts, partial clones and work trees with relative paths set them.
var harmless = []string{"worktreeConfig", "partialClone", "preciousObjects", "relativeWorktrees"}

// extended is the storage of a repository with harmless extensions.
//
// It hides them from go-git, which would refuse to open the repository.
type extended struct {
	*filesystem.Storage
}

// Config implements config.ConfigStorer.
func (e extended) Config() (*config.Config, error) {
	cfg, err := e.Storage.Config()
	if err != nil {
		return nil, err
	}
	for _, name := range harmless {
		cfg.Raw.Section("extensions").RemoveOption(name)
	}
	return cfg, nil
}

// openDot opens a git directory. If work is empty, there is no work tree.
//
// go-git would open the files in a way that may block: they may be FIFOs.
func openDot(dot, work string) (*git.Repository, error) {
	if _, err := os.Stat(dot); errors.Is(err, fs.ErrNotExist) {
		return nil, git.ErrRepositoryNotExists
	}
	files := regular{osfs.New(dot)}
	switch text, err := readPath(filepath.Join(dot, "commondir")); {
	case err == nil:
		common := from(dot, text)
		if _, err := os.Stat(common); err != nil {
			return nil, err
		}
		files = regular{dotgit.NewRepositoryFilesystem(files, osfs.New(common))}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// Without KeepDescriptors, go-git opens the pack again for each object.
	storage := filesystem.NewStorageWithOptions(files, cache.NewObjectLRUDefault(), filesystem.Options{KeepDescriptors: true})
	var tree billy.Filesystem
	if work != "" {
		tree = osfs.New(work)
	}
	repo, err := git.Open(extended{storage}, tree)
	if err == nil {
		repo.Storer = storage
	}
	return repo, err
}

// findDot returns the git directory and the work tree that contain dir.
func findDot(dir string) (dot, work string, err error) {
	for work = dir; ; work = filepath.Dir(work) {
		dot = filepath.Join(work, git.GitDirName)
		info, err := os.Stat(dot)
		switch {
		case err == nil && info.IsDir():
			return dot, work, nil
		case err == nil: // an additional work tree, or a submodule
			text, err := readPath(dot)
			if err != nil {
				return "", "", err
			}
			path, ok := strings.CutPrefix(text, "gitdir:")
			if !ok {
				return "", "", fmt.Errorf("%s: does not start with \"gitdir:\"", dot)
			}
			return from(work, path), work, nil
		case !errors.Is(err, fs.ErrNotExist) || work == filepath.Dir(work):
			return "", "", err
		}
	}
}

// readPath returns a file's text, which is a path.
func readPath(name string) (string, error) {
	f, err := regular{osfs.New(filepath.Dir(name))}.open(filepath.Base(name), maxTarget)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxTarget))
	return string(raw), err
}

// from returns the path in a file of git. It may be relative to dir.
func from(dir, text string) string {
	path := strings.TrimSpace(text)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// regular is a git directory of which only regular files are opened.
type regular struct{ billy.Filesystem }

// Open implements billy.Filesystem.
func (r regular) Open(name string) (billy.File, error) {
	switch path := filepath.ToSlash(filepath.Clean(name)); {
	case strings.HasPrefix(path, "objects/"):
		return r.open(name, math.MaxInt64)
	case path == "HEAD" || strings.HasPrefix(path, "refs/"):
		return r.open(name, maxTarget) // errors may quote it
	}
	return r.open(name, maxFile)
}

func (r regular) open(name string, limit int64) (billy.File, error) {
	info, err := r.Stat(name)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	case info.Size() > limit:
		err = fmt.Errorf("has more than %d bytes", limit)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: r.Join(r.Root(), name), Err: err}
	}
	return r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
