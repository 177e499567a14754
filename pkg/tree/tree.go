// Package tree opens a directory whose files others may have written, such as the
// checkout of a pull request: as an fs.FS of directories and regular files, in which
// symbolic links lead nowhere else, and with a method that replaces files.
//
// It never waits for a FIFO or a device, never reads what is outside of the directory
// or belongs to git, and never writes through a link. What is in the files is not its
// business. It is a package of its own because commands and the auditor both read trees.
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

// maxLinks is how many symbolic links may be on the way to a file, as in Linux.
const maxLinks = 40

// errIrregular is why a FIFO, a socket or a device is not opened.
var errIrregular = errors.New("is not a regular file")

// Tree is a directory. Its methods may be called concurrently. The zero value is not valid.
type Tree struct {
	dir  string   // as messages call it
	root *os.Root // nil if err is set
	err  error    // why the directory cannot be read
	abs  []string // the absolute paths that links may call it by
}

// Open returns the tree of a directory. If that cannot be read, the methods of the tree return the error.
func Open(dir string) *Tree {
	t := &Tree{dir: dir}
	if t.root, t.err = os.OpenRoot(dir); t.err != nil {
		return t
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return t // no absolute link is followed
	}
	t.abs = []string{abs}
	if linked, err := filepath.EvalSymlinks(abs); err == nil && linked != abs {
		t.abs = append(t.abs, linked)
	}
	return t
}

// Close releases the directory. Files that are open stay open.
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
	// What was a file a moment ago may be a FIFO now.
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

// Stat implements fs.StatFS. Links are followed.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	_, info, err := t.find(name)
	if err != nil {
		return nil, named("stat", name, err)
	}
	return info, nil
}

func readable(info fs.FileInfo) bool { return info.IsDir() || info.Mode().IsRegular() }

// named returns an error about one operation on one name, as package fs wants it.
func named(op, name string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// find returns the name without links of what name leads to, and describes it.
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
	for rest := name; rest != ""; {
		element, after, _ := strings.Cut(rest, "/")
		rest = after
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
		if info, err = t.lstat(next); err != nil {
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

// lstat describes an entry of the tree. Those of git are hidden: .git/config may hold a token.
func (t *Tree) lstat(name string) (fs.FileInfo, error) {
	if strings.EqualFold(path.Base(name), ".git") {
		return nil, errors.New("belongs to git: it is not read")
	}
	return t.root.Lstat(name)
}

// follow returns where the link called name, which is in the directory at, leads: a directory and a path below it.
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
