package load

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	"sigs.k8s.io/k8s-container-image-promoter/pkg/git"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/manifest"
	"sigs.k8s.io/k8s-container-image-promoter/pkg/selector"
)

// Revision is a git revision of manifests. Its files are read from git's object database.
type Revision struct {
	Commit string // empty: before the first commit, without files
	Found  string // how the commit was found; empty for a revision
	Files  fs.FS  // below Root
	All    fs.FS  // of the commit
	Dir    string // Root in All

	name string // of the manifests, in Files
	path string // of the manifests, as the user wrote it
}

// Revision opens the manifests at a revision, a date or a duration, as git.Base finds it.
func (m Manifests) Revision(ctx context.Context, text string, now time.Time, getenv func(string) string) (*Revision, error) {
	repo, err := git.Open(m.Path())
	if err != nil {
		return nil, err
	}
	base, err := repo.Base(ctx, text, now, getenv)
	if err != nil {
		return nil, err
	}
	where, err := repo.Named(m.Path())
	if err != nil {
		return nil, err
	}
	r, err := m.In(repo, base.Commit, where)
	if err == nil {
		r.Found = base.Found
	}
	return r, err
}

// In opens the manifests in a commit, "" for one without files. where is their path from
// the root of the repository.
func (m Manifests) In(repo *git.Repository, commit, where string) (*Revision, error) {
	r := &Revision{Commit: commit, Dir: where, path: m.Path(), name: "."}
	if m.File != "" {
		r.Dir, r.name = path.Split(where)
		r.Dir = path.Clean(r.Dir)
	}
	if commit == "" {
		r.Files, r.All = embed.FS{}, embed.FS{}
		return r, nil
	}
	var err error
	if r.Files, err = repo.FS(commit, r.Dir); err != nil {
		return nil, err
	}
	r.All, err = repo.FS(commit, ".")
	return r, err
}

// Name returns the name of the manifests in Files: "." or a file.
func (r *Revision) Name() string { return r.name }

// Lacks returns the path of the file or directory that the manifests cannot do without and
// the revision does not have, from the root of the repository; empty: it has all of them.
func (r *Revision) Lacks() string {
	names := []string{r.name}
	if r.name == "." {
		names = append(names, manifest.ThinDirectories()...)
	}
	for _, name := range names {
		if _, err := fs.Stat(r.Files, name); errors.Is(err, fs.ErrNotExist) {
			return path.Join(r.Dir, name)
		}
	}
	return ""
}

// Read reads the manifests. If the revision does not have them, the set is empty and
// marked as absent.
func (r *Revision) Read() (set *manifest.Set, err error) {
	err = r.load(func(files fs.FS) (err error) {
		set, err = manifest.Load(files, r.name, r.path)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return &manifest.Set{Absent: true}, nil
	}
	return set, err
}

// ReadAll reads the manifests and their selectors, as Manifests.ReadAll does.
func (r *Revision) ReadAll(newLists bool) (set *manifest.Set, selectors []*selector.File, err error) {
	err = r.load(func(files fs.FS) (err error) {
		set, selectors, err = manifest.LoadSelectors(files, r.name, r.path, newLists)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return &manifest.Set{Absent: true}, nil, nil
	}
	return set, selectors, err
}

// load reads files. An object that the clone does not have is an error.
func (r *Revision) load(read func(fs.FS) error) error {
	if r.Commit == "" {
		return fs.ErrNotExist
	}
	whole := &wholeFS{FS: r.Files}
	err := read(whole)
	if err = cmp.Or(whole.err, err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s of commit %s: %w", path.Join(r.Dir, r.name), r.Commit, err)
	}
	return err
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
