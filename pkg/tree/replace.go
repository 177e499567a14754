package tree

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Replace atomically replaces a file with one that contains data.
//
// If the file is a symbolic link, the link is replaced, not its target. It is an error if
// a directory on the way is a symbolic link, because the file also has another name then.
func (t *Tree) Replace(name string, data []byte) error {
	return t.ReplaceAll([]File{{name, data}})
}

// File is a file with new content.
type File struct {
	Name string
	Data []byte
}

// ReplaceAll replaces files as Replace does, one after the other. None is replaced if the
// new content of one cannot be stored.
func (t *Tree) ReplaceAll(files []File) error {
	var stored []string // the temporary files
	defer func() {
		for _, name := range stored {
			_ = t.root.Remove(name)
		}
	}()
	for _, f := range files {
		mode, err := t.replaceable(f.Name)
		if err != nil {
			return named("write", f.Name, err)
		}
		temporary, err := t.store(f, mode)
		if err != nil {
			return named("write", f.Name, err)
		}
		stored = append(stored, temporary)
	}
	for _, f := range files {
		if err := t.root.Rename(stored[0], f.Name); err != nil {
			return named("write", f.Name, err)
		}
		stored = stored[1:]
	}
	return nil
}

// replaceable returns the permissions for the new file.
//
// It is an error if the file must not be replaced.
func (t *Tree) replaceable(name string) (fs.FileMode, error) {
	const public = 0o644
	switch {
	case !fs.ValidPath(name) || name == ".":
		return 0, fs.ErrInvalid
	case t.err != nil:
		return 0, t.err
	}
	for i, c := range name {
		if c != '/' {
			continue
		}
		info, err := t.lstat(name[:i])
		if err != nil {
			return 0, err
		}
		if !info.IsDir() {
			return 0, fmt.Errorf("%s is not a directory itself, but a link or a file: nothing is written through it", name[:i])
		}
	}
	info, err := t.lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return public, nil
	case err != nil:
		return 0, err
	case info.Mode()&fs.ModeSymlink != 0:
		return public, nil
	case !info.Mode().IsRegular():
		return 0, errIrregular
	}
	return info.Mode().Perm(), nil
}

// store writes the content of a file to a temporary file next to it, and returns its name.
func (t *Tree) store(file File, mode fs.FileMode) (temporary string, err error) {
	dir, base := path.Split(file.Name)
	temporary = dir + "." + base + "-" + strings.ToLower(rand.Text())
	f, err := t.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(file.Data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		_ = t.root.Remove(temporary)
	}
	return temporary, err
}
