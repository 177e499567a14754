package cli

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
	name, err := repo.Named(o.path())
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
	whole := &wholeFS{FS: files}
	set, err = manifest.Load(whole, at, o.path())
	switch err = cmp.Or(whole.err, err); {
	case errors.Is(err, fs.ErrNotExist):
		return &manifest.Set{Absent: true}, commit, nil
	case err != nil:
		return nil, "", fmt.Errorf("reading %s of commit %s: %w", name, commit, err)
	}
	return set, commit, nil
}

// wholeFS keeps the first error about what a clone leaves out: that is no fault of
// the files, and they are not the revision's without it.
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
