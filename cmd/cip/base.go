package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"cip/pkg/git"
	"cip/pkg/manifest"
)

// atRevision loads the same manifests as they are in a git revision, which is read
// from git's objects. Where the revision does not have them the set is empty.
func (o *manifestOptions) atRevision(rev string) (set *manifest.Set, commit string, err error) {
	repo, err := git.Open(o.path())
	if err != nil {
		return nil, "", err
	}
	if commit, err = repo.Resolve(rev); err != nil {
		return nil, "", err
	}
	name, err := repo.Within(o.path())
	if err != nil {
		return nil, "", err
	}
	dir := name
	if o.manifest != "" {
		dir = path.Dir(name)
	}
	files, err := repo.FS(commit, dir)
	if err != nil {
		return nil, "", err
	}
	at := "."
	if o.manifest != "" {
		at = path.Base(name)
	}
	switch _, err := fs.Stat(files, at); {
	case errors.Is(err, fs.ErrNotExist):
		return &manifest.Set{}, commit, nil
	case err != nil:
		return nil, "", fmt.Errorf("reading %s of commit %s: %w", name, commit, err)
	case o.manifest != "":
		return manifest.Plain(files, at, o.manifest), commit, nil
	}
	return manifest.Thin(files, filepath.Clean(o.thinDir)), commit, nil
}
