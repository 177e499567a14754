package git

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// FileChange is the change of one file.
type FileChange struct {
	Path   string // slash-separated, from the root of the repository
	Before []byte // nil: the file does not exist
	After  []byte // nil: the file is removed
}

// Commit makes a commit with changed files on top of the draft's base, and returns its id.
//
// It is signed with the user's key if commit.gpgSign is set.
func (d *Draft) Commit(ctx context.Context, files []FileChange, message string) (string, error) {
	tree, err := d.tree(files)
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", tree.String(), "-p", d.Base, "-F", "-"}
	sign, _, err := d.program.run(ctx, d.dir, nil, nil, "config", "--type=bool", "--default=false", "--get", "commit.gpgSign")
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(sign) == "true" {
		args = slices.Insert(args, 1, "-S")
	}
	out, _, err := d.program.run(ctx, d.dir, nil, []byte(message), args...)
	if err != nil {
		return "", fmt.Errorf("making the commit: %w", err)
	}
	if id := strings.TrimSpace(out); IsID(id) {
		return id, nil
	}
	return "", fmt.Errorf("making the commit: git printed no id, but %q", out)
}

// Sketch makes the commit as Commit does, but without an author, to read its files.
func (d *Draft) Sketch(files []FileChange) (string, error) {
	tree, err := d.tree(files)
	if err != nil {
		return "", err
	}
	id, err := d.store(&object.Commit{TreeHash: tree, ParentHashes: []plumbing.Hash{plumbing.NewHash(d.Base)}})
	if err != nil {
		return "", fmt.Errorf("writing a commit: %w", err)
	}
	return id.String(), nil
}

// tree writes the tree of the base with changed files.
func (d *Draft) tree(files []FileChange) (plumbing.Hash, error) {
	base, err := d.commit(d.Base)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	texts := map[string][]byte{}
	for _, f := range files {
		texts[f.Path] = f.After
	}
	tree, err := d.writeTree(base.TreeHash, texts)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("writing the files of the commit: %w", err)
	}
	return tree, nil
}

// writeTree writes a tree with other texts of files, by their path below it.
func (r *Repository) writeTree(id plumbing.Hash, texts map[string][]byte) (plumbing.Hash, error) {
	tree := &object.Tree{}
	if !id.IsZero() {
		old, err := r.repo.TreeObject(id)
		if err != nil {
			return plumbing.ZeroHash, unreadable(id, err)
		}
		tree.Entries = slices.Clone(old.Entries)
	}
	below := map[string]map[string][]byte{}
	for name, text := range texts {
		first, rest, deeper := strings.Cut(path.Clean(name), "/")
		if !deeper {
			if err := r.setFile(tree, first, text); err != nil {
				return plumbing.ZeroHash, err
			}
			continue
		}
		if below[first] == nil {
			below[first] = map[string][]byte{}
		}
		below[first][rest] = text
	}
	for name, texts := range below {
		if err := r.setDir(tree, name, texts); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	sort.Sort(object.TreeEntrySorter(tree.Entries))
	return r.store(tree)
}

// setFile sets the text of a file in a tree.
func (r *Repository) setFile(tree *object.Tree, name string, text []byte) error {
	blob := &plumbing.MemoryObject{}
	blob.SetType(plumbing.BlobObject)
	_, _ = blob.Write(text) // never fails
	hash, err := r.repo.Storer.SetEncodedObject(blob)
	if err != nil {
		return err
	}
	i := find(tree, name)
	switch {
	case i < 0:
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: hash})
	case !tree.Entries[i].Mode.IsFile() || tree.Entries[i].Mode == filemode.Symlink:
		return fmt.Errorf("%s is not a regular file in the commit", name)
	default:
		tree.Entries[i].Hash = hash
	}
	return nil
}

// setDir sets the texts of files in a directory of a tree.
func (r *Repository) setDir(tree *object.Tree, name string, texts map[string][]byte) error {
	i := find(tree, name)
	if i < 0 {
		i = len(tree.Entries)
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Dir})
	}
	if tree.Entries[i].Mode != filemode.Dir {
		return fmt.Errorf("%s is not a directory in the commit", name)
	}
	hash, err := r.writeTree(tree.Entries[i].Hash, texts)
	tree.Entries[i].Hash = hash
	return err
}

func find(tree *object.Tree, name string) int {
	return slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == name })
}

// store writes an object.
func (r *Repository) store(o object.Object) (plumbing.Hash, error) {
	encoded := r.repo.Storer.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return r.repo.Storer.SetEncodedObject(encoded)
}

// Parent returns the first parent of a commit. ok is false if it has none.
func (r *Repository) Parent(id string) (parent string, ok bool, err error) {
	c, err := r.commit(id)
	if err != nil || len(c.ParentHashes) == 0 {
		return "", false, err
	}
	return c.ParentHashes[0].String(), true, nil
}

// Changes returns the files that differ between two commits, by path.
func (r *Repository) Changes(ctx context.Context, from, to string) ([]FileChange, error) {
	trees := [2]*object.Tree{}
	for i, id := range []string{from, to} {
		c, err := r.commit(id)
		if err == nil {
			trees[i], err = c.Tree()
		}
		if err != nil {
			return nil, err
		}
	}
	diff, err := object.DiffTreeWithOptions(ctx, trees[0], trees[1], nil)
	if err != nil {
		return nil, fmt.Errorf("comparing commit %s with %s: %w", from, to, err)
	}
	var changes []FileChange
	for _, d := range diff {
		change := FileChange{Path: d.To.Name}
		if change.Before, err = r.blob(d.From.TreeEntry); err != nil {
			return nil, err
		}
		if change.After, err = r.blob(d.To.TreeEntry); err != nil {
			return nil, err
		}
		if d.To.Name == "" {
			change.Path = d.From.Name
		}
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b FileChange) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

// blob returns the bytes of an entry. Those of an entry that does not exist are nil, and
// those of a submodule are the id of its commit.
func (r *Repository) blob(e object.TreeEntry) ([]byte, error) {
	switch {
	case e.Hash.IsZero():
		return nil, nil
	case e.Mode == filemode.Submodule:
		return []byte(e.Hash.String()), nil
	}
	text, err := (&treeFS{repo: r.repo}).read(e.Hash, maxFile)
	return bytes.Clone(text), err
}
