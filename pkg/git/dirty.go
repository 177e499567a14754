package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// errDiffers ends a comparison at the first difference.
var errDiffers = errors.New("differs")

// Commit returns the id of the commit that is checked out at a path.
//
// path is a file or a directory. If YAML files at or below it differ from the commit,
// "-dirty" is appended. Outside of a repository and before the first commit, the
// result is "".
func Commit(path string) (string, error) {
	r, err := Open(path)
	if errors.Is(err, ErrNoRepository) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	head, err := r.repo.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading HEAD of the git repository of %s: %w", path, err)
	}
	same, err := r.unchanged(head.Hash().String(), path)
	if err != nil {
		return "", fmt.Errorf("comparing %s with commit %s: %w", path, head.Hash(), err)
	}
	if !same {
		return head.Hash().String() + "-dirty", nil
	}
	return head.Hash().String(), nil
}

// unchanged reports whether YAML files are as in a commit.
//
// It compares the files at or below path.
func (r *Repository) unchanged(commit, path string) (bool, error) {
	rel, err := r.Within(path)
	if err != nil {
		return false, err
	}
	c, err := r.commit(commit)
	if err != nil {
		return false, err
	}
	tree, err := c.Tree()
	if err != nil {
		return false, err
	}
	wanted, err := committed(tree, rel)
	if err != nil {
		return false, err
	}
	abs, err := absolute(path)
	if err != nil {
		return false, err
	}
	err = filepath.WalkDir(abs, func(at string, e fs.DirEntry, err error) error {
		if err != nil || !isYAML(at) || e.IsDir() {
			return err
		}
		name, err := r.Within(filepath.Dir(at))
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name+"/"+e.Name(), "./")
		hash, err := hashFile(at, e)
		if err != nil {
			return err
		}
		if wanted[name] != hash {
			return errDiffers
		}
		delete(wanted, name)
		return nil
	})
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return len(wanted) == 0, err
}

// committed returns the YAML files at or below a path of a tree.
//
// The values are the hashes of their blobs.
func committed(tree *object.Tree, path string) (map[string]plumbing.Hash, error) {
	files := map[string]plumbing.Hash{}
	prefix := ""
	if path != "." {
		entry, err := tree.FindEntry(path)
		if errors.Is(err, object.ErrEntryNotFound) || errors.Is(err, object.ErrDirectoryNotFound) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if entry.Mode.IsFile() {
			files[path] = entry.Hash
			return files, nil
		}
		if tree, err = tree.Tree(path); err != nil {
			return nil, err
		}
		prefix = path + "/"
	}
	walk := object.NewTreeWalker(tree, true, nil)
	defer walk.Close()
	for {
		name, entry, err := walk.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if isYAML(name) && entry.Mode.IsFile() {
			files[prefix+name] = entry.Hash
		}
	}
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

// hashFile returns the hash that git has for the blob of a file.
//
// For a symbolic link, it is the hash of the target's name. No commit can have any
// other type of file, such as a FIFO: the error is errDiffers, without opening it in
// a way that could block.
func hashFile(path string, e fs.DirEntry) (plumbing.Hash, error) {
	if e.Type()&fs.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		return plumbing.ComputeHash(plumbing.BlobObject, []byte(to)), err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errDiffers
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	h := plumbing.NewHasher(plumbing.BlobObject, info.Size())
	_, err = io.CopyN(h, f, info.Size())
	return h.Sum(), err
}
