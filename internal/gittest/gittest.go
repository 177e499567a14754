// Package gittest makes git repositories for tests.
//
// Tests choose the time, the parents and the files of each commit. The package
// writes git objects directly, so most tests need neither a work tree nor the git
// program. The product never imports it.
package gittest

import (
	"fmt"
	"path"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Repository is a bare git repository on disk.
type Repository struct {
	Dir string

	t     testing.TB
	disk  *filesystem.Storage
	store storer.Storer // storage of new objects: disk, or memory until Pack
}

// New returns an empty repository in a temporary directory.
//
// Each object is written to disk at once. Use NewPacked for long histories.
func New(t testing.TB) *Repository {
	t.Helper()
	return In(t, t.TempDir())
}

// In returns an empty repository in dir.
func In(t testing.TB, dir string) *Repository {
	t.Helper()
	repo, err := git.PlainInit(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	disk := repo.Storer.(*filesystem.Storage)
	return &Repository{Dir: dir, t: t, disk: disk, store: disk}
}

// NewPacked returns an empty repository with new objects in memory.
//
// Pack writes them to disk. For thousands of commits this is much faster than one
// file per object.
func NewPacked(t testing.TB) *Repository {
	t.Helper()
	r := New(t)
	r.store = memory.NewStorage()
	return r
}

// Commit writes a commit and returns its id.
//
// The commit has the given files, by path, and its time is second seconds after a
// fixed date, so that equal calls give equal ids.
func (r *Repository) Commit(second int, files map[string]string, parents ...string) string {
	r.t.Helper()
	return r.CommitBy("a", fmt.Sprintf("commit of second %d\n\nIts body.\n", second), second, files, parents...)
}

// CommitBy is Commit with an author and a message.
func (r *Repository) CommitBy(author, message string, second int, files map[string]string, parents ...string) string {
	r.t.Helper()
	when := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(second) * time.Second)
	by := object.Signature{Name: author, Email: author + "@example.com", When: when}
	c := &object.Commit{Author: by, Committer: by, TreeHash: r.tree(files), Message: message}
	for _, p := range parents {
		c.ParentHashes = append(c.ParentHashes, plumbing.NewHash(p))
	}
	return r.put(c).String()
}

// tree writes a tree with the given files, by path, and returns its id.
func (r *Repository) tree(files map[string]string) plumbing.Hash {
	r.t.Helper()
	below := map[string]map[string]string{}
	tree := &object.Tree{}
	for name, text := range files {
		if dir, rest, ok := strings.Cut(path.Clean(name), "/"); ok {
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][rest] = text
			continue
		}
		blob := &plumbing.MemoryObject{}
		blob.SetType(plumbing.BlobObject)
		_, _ = blob.Write([]byte(text)) // never fails
		hash, err := r.store.SetEncodedObject(blob)
		r.must(err)
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: hash})
	}
	for dir, files := range below {
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: dir, Mode: filemode.Dir, Hash: r.tree(files)})
	}
	sort.Sort(object.TreeEntrySorter(tree.Entries))
	return r.put(tree)
}

// put writes an object and returns its id.
func (r *Repository) put(o object.Object) plumbing.Hash {
	r.t.Helper()
	encoded := r.store.NewEncodedObject()
	r.must(o.Encode(encoded))
	hash, err := r.store.SetEncodedObject(encoded)
	r.must(err)
	return hash
}

// Branch points the branch at a commit, and HEAD at the branch.
func (r *Repository) Branch(name, id string) {
	r.t.Helper()
	ref := plumbing.NewBranchReferenceName(name)
	r.must(r.disk.SetReference(plumbing.NewHashReference(ref, plumbing.NewHash(id))))
	r.must(r.disk.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, ref)))
}

// Ref points a reference, such as refs/tags/v1, at a commit.
func (r *Repository) Ref(name, id string) {
	r.t.Helper()
	r.must(r.disk.SetReference(plumbing.NewHashReference(plumbing.ReferenceName(name), plumbing.NewHash(id))))
}

// Pack writes all objects of a NewPacked repository to disk, as one pack.
func (r *Repository) Pack() {
	r.t.Helper()
	var all []plumbing.Hash
	list, err := r.store.IterEncodedObjects(plumbing.AnyObject)
	r.must(err)
	r.must(list.ForEach(func(o plumbing.EncodedObject) error {
		all = append(all, o.Hash())
		return nil
	}))
	w, err := r.disk.PackfileWriter()
	r.must(err)
	_, err = packfile.NewEncoder(w, r.store, false).Encode(all, 0)
	r.must(err)
	r.must(w.Close())
}

// Shallow returns a shallow clone with only the given commits.
//
// The first commit is the head of the branch. The parents of the commits in ends
// are missing: there the history is cut off.
func (r *Repository) Shallow(branch string, commits []string, ends ...string) *Repository {
	r.t.Helper()
	clone := New(r.t)
	for _, id := range commits {
		c := r.Read(id)
		tree, err := c.Tree()
		r.must(err)
		clone.put(c)
		clone.put(tree)
		walk := object.NewTreeWalker(tree, true, nil)
		for {
			_, entry, err := walk.Next()
			if err != nil {
				break
			}
			o, err := r.disk.EncodedObject(plumbing.AnyObject, entry.Hash)
			r.must(err)
			_, err = clone.disk.SetEncodedObject(o)
			r.must(err)
		}
		walk.Close()
	}
	clone.Branch(branch, commits[0])
	var cut []plumbing.Hash
	for _, id := range ends {
		cut = append(cut, plumbing.NewHash(id))
	}
	r.must(clone.disk.SetShallow(cut))
	return clone
}

func (r *Repository) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}
