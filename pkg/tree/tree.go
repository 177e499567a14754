// Package tree opens a directory with files that are not trusted.
//
// Such a directory is the checkout of a pull request. It is an fs.FS of directories and
// regular files, with a method that replaces a file. Symbolic links are followed only
// within the directory.
//
// The package never waits for a FIFO or a device, never reads a file outside of the
// directory or in .git, and never writes through a link. It does not interpret files. It
// is a package because its rules protect against people who can write into the directory,
// and are tested apart from file formats.
package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks limits symbolic links on a path, as in Linux.
const maxLinks = 40

// errDangling is the error for a link whose target does not exist.
//
// It is not fs.ErrNotExist: the name exists, so an optional file is not left out.
var errDangling = errors.New("a symbolic link to a file that does not exist")

// errIrregular is the error for a FIFO, a socket or a device.
var errIrregular = errors.New("is not a regular file")

// Tree is a directory.
//
// It is safe for concurrent use. The zero value is not valid.
type Tree struct {
	dir  string   // its name in errors
	root *os.Root // nil if err is set
	err  error    // the error of opening the directory
	abs  []string // its absolute paths, for absolute links into it
}

// Open opens a directory.
//
// If that fails, the methods of the tree return the error.
func Open(dir string) *Tree {
	t := &Tree{dir: dir}
	if t.root, t.err = os.OpenRoot(dir); t.err != nil {
		return t
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return t // absolute links are not followed
	}
	t.abs = []string{abs}
	if linked, err := filepath.EvalSymlinks(abs); err == nil && linked != abs {
		t.abs = append(t.abs, linked)
	}
	return t
}

// Close closes the directory. Open files stay open.
func (t *Tree) Close() error {
	if t.root == nil {
		return nil
	}
	return t.root.Close()
}

// Open implements fs.FS. Only directories and regular files can be opened.
func (t *Tree) Open(name string) (fs.File, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, named("open", name, err)
	}
	return f, nil
}

func (t *Tree) open(name string) (*os.File, error) {
	at, info, err := t.find(name)
	if err != nil {
		return nil, err
	}
	if !readable(info) {
		return nil, errIrregular
	}
	// The file may have been replaced by a FIFO in the meantime.
	f, err := t.root.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && !readable(info) {
		err = errIrregular
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Stat implements fs.StatFS. It follows links.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	_, info, err := t.find(name)
	if err != nil {
		return nil, named("stat", name, err)
	}
	return info, nil
}

func readable(info fs.FileInfo) bool { return info.IsDir() || info.Mode().IsRegular() }

// named returns the *fs.PathError for an operation and a name.
func named(op, name string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find follows the links in name.
//
// It returns the resulting path and its file info. The error is fs.ErrNotExist only if
// an element of name itself does not exist, and not for a link to nothing.
func (t *Tree) find(name string) (at string, info fs.FileInfo, err error) {
	switch {
	case !fs.ValidPath(name):
		return "", nil, fs.ErrInvalid
	case t.err != nil:
		return "", nil, t.err
	}
	if info, err = t.root.Stat("."); err != nil {
		return "", nil, err
	}
	at = "."
	links := 0
	own := len(name) // the length of the end of rest that is from name, not from a link
	for rest := name; rest != ""; {
		element, after, _ := strings.Cut(rest, "/")
		rest = after
		ofLink := len(rest) >= own
		own = min(own, len(rest))
		switch element {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", nil, t.outside()
			}
			at = path.Dir(at)
			if info, err = t.root.Lstat(at); err != nil {
				return "", nil, err
			}
			continue
		}
		next := path.Join(at, element)
		info, err = t.lstat(next)
		if ofLink && errors.Is(err, fs.ErrNotExist) {
			err = errDangling
		}
		if err != nil {
			return "", nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, errors.New("too many symbolic links")
		}
		var target string
		if at, target, err = t.follow(at, next); err != nil {
			return "", nil, err
		}
		rest = target + "/" + rest
	}
	return at, info, nil
}

// lstat returns the file info of a path.
//
// It is an error for .git, because .git/config may hold a token.
func (t *Tree) lstat(name string) (fs.FileInfo, error) {
	if strings.EqualFold(path.Base(name), ".git") {
		return nil, errors.New("belongs to git: it is not read")
	}
	return t.root.Lstat(name)
}

// follow reads the link name in the directory at.
//
// It returns a directory of the tree and the path of the target below it.
func (t *Tree) follow(at, name string) (from, target string, err error) {
	if target, err = t.root.Readlink(name); err != nil {
		return "", "", err
	}
	if !filepath.IsAbs(target) {
		return at, filepath.ToSlash(target), nil
	}
	for _, abs := range t.abs {
		if rel, err := filepath.Rel(abs, target); err == nil && filepath.IsLocal(rel) {
			return ".", filepath.ToSlash(rel), nil
		}
	}
	return "", "", t.outside()
}

func (t *Tree) outside() error {
	return fmt.Errorf("a symbolic link out of the directory %s: it is not followed", t.dir)
}
