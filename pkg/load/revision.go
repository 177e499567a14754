package load

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
)

// At reads the same manifests in a git revision, from git's object database. If the
// revision does not have them, the set is empty and marked as absent.
func (m Manifests) At(rev string) (set *manifest.Set, commit string, err error) {
	repo, err := git.Open(m.Path())
	if err != nil {
		return nil, "", err
	}
	if commit, err = repo.Resolve(rev); err != nil {
		return nil, "", err
	}
	name, err := repo.Named(m.Path())
	if err != nil {
		return nil, "", err
	}
	dir := name
	if m.File != "" {
		dir = path.Dir(name)
	}
	files, err := repo.FS(commit, dir)
	if err != nil {
		return nil, "", err
	}
	at := "."
	if m.File != "" {
		at = path.Base(name)
	}
	whole := &wholeFS{FS: files}
	set, err = manifest.Load(whole, at, m.Path())
	switch err = cmp.Or(whole.err, err); {
	case errors.Is(err, fs.ErrNotExist):
		return &manifest.Set{Absent: true}, commit, nil
	case err != nil:
		return nil, "", fmt.Errorf("reading %s of commit %s: %w", name, commit, err)
	}
	return set, commit, nil
}

// wholeFS keeps the first error about an object that the clone does not have. Such
// an error is not a fault of the manifests: without the object they are incomplete.
type wholeFS struct {
	fs.FS

	mu  sync.Mutex
	err error
}

// Open implements fs.FS.
func (w *wholeFS) Open(name string) (fs.File, error) {
	f, err := w.FS.Open(name)
	if errors.Is(err, git.ErrUnreadable) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = cmp.Or(w.err, err)
	}
	return f, err
}
