package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Limits on the lookup of one path.
const (
	maxLinks  = 40       // symbolic links to follow, as in Linux
	maxTarget = 4096     // bytes of the target of a symbolic link, as in Linux
	maxFile   = 64 << 20 // bytes of a file, as in package manifest
)

// errDangling is the error for a link whose target does not exist.
//
// It is not fs.ErrNotExist: the name exists, so the commit has a file there.
var errDangling = errors.New("a symbolic link to a file that does not exist")

// FS returns the files of a commit below a directory.
//
// If dir is "." or "", it has all files. Symbolic links are followed if their target
// is in the tree of the commit. The result is safe for concurrent use.
func (r *Repository) FS(commit, dir string) (fs.FS, error) {
	c, err := r.commit(commit)
	if err != nil {
		return nil, err
	}
	root, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("reading the files of commit %s: %w", commit, unreadable(c.TreeHash, err))
	}
	return &treeFS{repo: r.repo, root: root, dir: path.Clean(dir), when: c.Committer.When}, nil
}

// treeFS is a commit's tree as a file system.
type treeFS struct {
	repo *git.Repository
	root *object.Tree
	dir  string
	when time.Time

	mu sync.Mutex // trees and the object cache of go-git are not safe for concurrent use
}

// Open implements fs.FS.
func (t *treeFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f, err := t.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (t *treeFS) open(name string) (fs.File, error) {
	entry, err := t.find(path.Join(t.dir, name))
	if err != nil {
		return nil, err
	}
	info := &fileInfo{name: path.Base(name), mode: mode(entry.Mode), when: t.when}
	switch {
	case info.IsDir():
		tree, err := t.repo.TreeObject(entry.Hash)
		if err != nil {
			return nil, unreadable(entry.Hash, err)
		}
		entries, err := t.entries(tree)
		if err != nil {
			return nil, err
		}
		return &openDir{info: info, entries: entries}, nil
	case !info.mode.IsRegular():
		return &openFile{info: info, Reader: bytes.NewReader(nil)}, nil
	}
	raw, err := t.read(entry.Hash, maxFile)
	if err != nil {
		return nil, err
	}
	info.size = int64(len(raw))
	return &openFile{info: info, Reader: bytes.NewReader(raw)}, nil
}

// find returns the entry at a path, following symbolic links.
//
// The error is fs.ErrNotExist only if an element of name itself does not exist.
func (t *treeFS) find(name string) (object.TreeEntry, error) {
	at := object.TreeEntry{Mode: filemode.Dir, Hash: t.root.Hash}
	links := 0
	here, rest := ".", name
	own := len(name) // the length of the end of rest that is from name, not from a link
	for rest != "." && rest != "" {
		element, after, _ := strings.Cut(rest, "/")
		missing := fs.ErrNotExist
		if len(after) >= own {
			missing = errDangling
		}
		own = min(own, len(after))
		switch at.Mode {
		case filemode.Dir:
		case filemode.Submodule:
			return at, errors.New("is in a submodule, which is another git repository")
		default:
			return at, missing // below a file
		}
		tree, err := t.repo.TreeObject(at.Hash)
		if err != nil {
			return at, unreadable(at.Hash, err)
		}
		entry, err := tree.FindEntry(element)
		if err != nil {
			return at, missing
		}
		if entry.Mode != filemode.Symlink {
			at, here, rest = *entry, path.Join(here, element), after
			continue
		}
		if links++; links > maxLinks {
			return at, errors.New("too many symbolic links")
		}
		target, err := t.read(entry.Hash, maxTarget)
		if err != nil {
			return at, err
		}
		whole := path.Join(here, string(target))
		if path.IsAbs(string(target)) || whole == ".." || strings.HasPrefix(whole, "../") {
			return at, errors.New("a symbolic link out of the repository")
		}
		at = object.TreeEntry{Mode: filemode.Dir, Hash: t.root.Hash}
		here, rest = ".", path.Join(whole, after)
	}
	return at, nil
}

// read returns the bytes of a blob. It is an error if there are more than limit.
func (t *treeFS) read(hash plumbing.Hash, limit int64) ([]byte, error) {
	blob, err := t.repo.BlobObject(hash)
	if err != nil {
		return nil, unreadable(hash, err)
	}
	if blob.Size > limit {
		return nil, fmt.Errorf("has more than %d bytes", limit)
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, unreadable(hash, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, unreadable(hash, err)
	}
	return raw, nil
}

// unreadable returns the error about an object that could not be read.
func unreadable(hash plumbing.Hash, err error) error {
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return fmt.Errorf("%w: object %s is not in this clone: fetch it first", ErrUnreadable, hash)
	}
	return fmt.Errorf("%w: object %s: %w", ErrUnreadable, hash, err)
}

// entries returns the entries of a directory, in the order of git.
func (t *treeFS) entries(tree *object.Tree) ([]fs.DirEntry, error) {
	list := make([]fs.DirEntry, len(tree.Entries))
	for i, e := range tree.Entries {
		info := &fileInfo{name: e.Name, mode: mode(e.Mode), when: t.when}
		if info.mode.IsRegular() {
			var err error
			if info.size, err = t.repo.Storer.EncodedObjectSize(e.Hash); err != nil {
				return nil, unreadable(e.Hash, err)
			}
		}
		list[i] = fs.FileInfoToDirEntry(info)
	}
	return list, nil
}

// mode returns the type and permissions of an entry.
//
// A submodule is an irregular file, since its files are not in the repository.
func mode(m filemode.FileMode) fs.FileMode {
	switch m {
	case filemode.Dir:
		return fs.ModeDir | 0o755
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Submodule:
		return fs.ModeIrregular
	case filemode.Executable:
		return 0o755
	}
	return 0o644
}

// fileInfo describes a file of a commit.
type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
	when time.Time
}

// Name implements fs.FileInfo, as the other methods do.
func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Mode() fs.FileMode  { return i.mode }
func (i *fileInfo) ModTime() time.Time { return i.when }
func (i *fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i *fileInfo) Sys() any           { return nil }

// openFile is a file being read.
type openFile struct {
	*bytes.Reader
	info *fileInfo
}

// Stat implements fs.File, as Close does.
func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is a directory being listed.
type openDir struct {
	info    *fileInfo
	entries []fs.DirEntry
}

// Stat implements fs.ReadDirFile, as the other methods do.
func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	list := d.entries[:n]
	d.entries = d.entries[n:]
	return list, nil
}
