package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

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

// openExtended opens the repository of a directory despite harmless extensions.
func openExtended(dir string) (*git.Repository, error) {
	dot, work, err := findDot(dir)
	if err != nil {
		return nil, err
	}
	fs := osfs.New(dot)
	switch raw, err := os.ReadFile(filepath.Join(dot, "commondir")); {
	case err == nil:
		fs = dotgit.NewRepositoryFilesystem(fs, osfs.New(from(dot, string(raw))))
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	storage := filesystem.NewStorage(fs, cache.NewObjectLRUDefault())
	repo, err := git.Open(extended{storage}, osfs.New(work))
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
			raw, err := os.ReadFile(dot)
			return from(work, strings.TrimPrefix(string(raw), "gitdir:")), work, err
		case !errors.Is(err, os.ErrNotExist) || work == filepath.Dir(work):
			return "", "", err
		}
	}
}

// from returns the path in a file of git. It may be relative to dir.
func from(dir, text string) string {
	path := strings.TrimSpace(text)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
