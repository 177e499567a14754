package git

import (
	"container/heap"
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// LogEntry is a commit of a history.
type LogEntry struct {
	ID, Tree string
	Parents  []string
	Subject  string // the first line of the message
	When     time.Time
}

// ShallowError is the error if the history of a shallow clone is too short.
type ShallowError struct {
	At string // id of the commit whose parents are missing
}

// Error implements error.
func (e *ShallowError) Error() string {
	return fmt.Sprintf("history ends at %s: the clone is shallow, fetch more of it", e.At)
}

// Walk returns the history of a commit, from itself on.
//
// If all is false, it follows first parents. If all is true, it visits all commits
// that can be reached, those with the latest commit time first, as git log does. At
// the end of a shallow clone, the last error is a *ShallowError: the order of further
// commits would be uncertain.
func (r *Repository) Walk(ctx context.Context, tip string, all bool) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		for s, err := range r.walk(ctx, tip, all) {
			if !yield(s.LogEntry, err) || err != nil {
				return
			}
			if s.cut {
				yield(LogEntry{}, &ShallowError{At: s.ID})
				return
			}
		}
	}
}

// IsAncestor reports whether commit a is commit b or an ancestor of it.
//
// If a is not found and the clone is shallow, the error is a *ShallowError.
func (r *Repository) IsAncestor(ctx context.Context, a, b string) (bool, error) {
	var cut *ShallowError
	for s, err := range r.walk(ctx, b, true) {
		if err != nil {
			return false, err
		}
		if s.ID == a {
			return true, nil
		}
		if s.cut && cut == nil {
			cut = &ShallowError{At: s.ID}
		}
	}
	if cut != nil {
		return false, cut
	}
	return false, nil
}

// step is a commit on a walk. cut means that its parents are missing.
type step struct {
	LogEntry
	cut bool
}

// walk is Walk, but it goes on after commits whose parents are missing.
func (r *Repository) walk(ctx context.Context, tip string, all bool) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		ends, err := r.ends()
		if err != nil {
			yield(step{}, err)
			return
		}
		queue, seen := new(latestFirst), map[string]bool{tip: true}
		next := []string{tip}
		for {
			for _, id := range next {
				if err := ctx.Err(); err != nil {
					yield(step{}, err)
					return
				}
				c, err := r.read(id)
				if err != nil {
					yield(step{}, err)
					return
				}
				heap.Push(queue, queued{c, len(seen)})
			}
			if queue.Len() == 0 {
				return
			}
			c := heap.Pop(queue).(queued).LogEntry
			s := step{c, ends[c.ID] && len(c.Parents) > 0}
			if !yield(s, nil) {
				return
			}
			next = next[:0]
			for i, id := range c.Parents {
				if !s.cut && !seen[id] && (all || i == 0) {
					seen[id] = true
					next = append(next, id)
				}
			}
		}
	}
}

// ends returns the ids of the commits at which a shallow clone ends.
func (r *Repository) ends() (map[string]bool, error) {
	shallow, err := r.repo.Storer.Shallow()
	if err != nil {
		return nil, fmt.Errorf("reading where the git repository of %s is shallow: %w", r.name, err)
	}
	ends := map[string]bool{}
	for _, h := range shallow {
		ends[h.String()] = true
	}
	return ends, nil
}

// read returns a commit by its id.
func (r *Repository) read(id string) (LogEntry, error) {
	c, err := r.commit(id)
	if err != nil {
		return LogEntry{}, err
	}
	subject, _, _ := strings.Cut(strings.TrimLeft(c.Message, "\n"), "\n")
	entry := LogEntry{
		ID:      c.Hash.String(),
		Tree:    c.TreeHash.String(),
		Subject: strings.ToValidUTF8(strings.TrimSpace(subject), "\uFFFD"),
		When:    c.Committer.When,
	}
	for _, p := range c.ParentHashes {
		entry.Parents = append(entry.Parents, p.String())
	}
	return entry, nil
}

// Author returns the author of a commit, as "name <email>".
func (r *Repository) Author(id string) (string, error) {
	c, err := r.commit(id)
	if err != nil {
		return "", err
	}
	return strings.ToValidUTF8(c.Author.Name+" <"+c.Author.Email+">", "\uFFFD"), nil
}

// queued is a commit that a walk will visit.
type queued struct {
	LogEntry
	turn int // order in which commits of the same second are visited
}

// latestFirst is a heap of commits, the latest first.
type latestFirst []queued

// Len implements heap.Interface, as the other methods do.
func (q latestFirst) Len() int      { return len(q) }
func (q latestFirst) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *latestFirst) Push(x any)   { *q = append(*q, x.(queued)) }

func (q latestFirst) Less(i, j int) bool {
	if !q[i].When.Equal(q[j].When) {
		return q[i].When.After(q[j].When)
	}
	return q[i].turn < q[j].turn
}

func (q *latestFirst) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// Subtrees returns the entries of a tree at a list of paths.
//
// tree is the hash of a tree, as in LogEntry. Each result has the mode and the hash
// of a file or directory, and is "" if there is none. The root has only the hash.
func (r *Repository) Subtrees(tree string, paths []string) ([]string, error) {
	root, err := r.tree(plumbing.NewHash(tree))
	if err != nil {
		return nil, fmt.Errorf("reading tree %s of the git repository of %s: %w", tree, r.name, err)
	}
	found := make([]string, len(paths))
	for i, p := range paths {
		name := path.Clean("/" + p)[1:]
		if name == "" {
			found[i] = tree
			continue
		}
		if found[i], err = r.entryAt(root, name); err != nil {
			return nil, fmt.Errorf("reading %s in tree %s of the git repository of %s: %w", p, tree, r.name, err)
		}
	}
	return found, nil
}

// tree returns a tree by its hash. It keeps the last ones: of two commits that follow
// each other, most trees are the same.
func (r *Repository) tree(hash plumbing.Hash) (*object.Tree, error) {
	if t, ok := r.trees[hash]; ok {
		return t, nil
	}
	t, err := r.repo.TreeObject(hash)
	if err != nil {
		return nil, err
	}
	if r.trees == nil || len(r.trees) == maxTrees {
		r.trees = map[plumbing.Hash]*object.Tree{}
	}
	r.trees[hash] = t
	return t, nil
}

// entryAt returns the mode and the hash of the entry at a path, or "".
func (r *Repository) entryAt(tree *object.Tree, name string) (string, error) {
	for {
		first, rest, below := strings.Cut(name, "/")
		i := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == first })
		switch {
		case i < 0, below && tree.Entries[i].Mode != filemode.Dir:
			return "", nil
		case !below:
			return entryText(tree.Entries[i]), nil
		}
		var err error
		if tree, err = r.tree(tree.Entries[i].Hash); err != nil {
			return "", err
		}
		name = rest
	}
}

// dirMode is the mode of a directory in the text of an entry.
const dirMode = "40000 "

// entryText returns the mode and the hash of an entry. A history asks for hundreds of
// thousands: with the String methods of go-git, this is a tenth of its time.
func entryText(e object.TreeEntry) string {
	text := strconv.AppendUint(make([]byte, 0, 48), uint64(e.Mode), 8)
	return string(hex.AppendEncode(append(text, ' '), e.Hash[:]))
}

// Entries returns the entries of a directory in a tree, as Subtrees does, by name.
//
// It returns nil if there is no such directory: a file or a link is none.
func (r *Repository) Entries(tree, dir string) (map[string]string, error) {
	found, err := r.Subtrees(tree, []string{dir})
	if err != nil {
		return nil, err
	}
	hash := tree // of the root, which has no mode
	if found[0] != tree {
		var isDir bool
		if hash, isDir = strings.CutPrefix(found[0], dirMode); !isDir {
			return nil, nil
		}
	}
	t, err := r.tree(plumbing.NewHash(hash))
	if err != nil {
		return nil, unreadable(plumbing.NewHash(hash), err)
	}
	entries := make(map[string]string, len(t.Entries))
	for _, e := range t.Entries {
		entries[e.Name] = entryText(e)
	}
	return entries, nil
}

// Text returns the bytes of a regular file. entry is its mode and hash, as Subtrees
// returns them. ok is false if it is another kind of entry.
func (r *Repository) Text(entry string) (text []byte, ok bool, err error) {
	if !IsRegular(entry) {
		return nil, false, nil
	}
	_, hash, _ := strings.Cut(entry, " ")
	text, err = (&treeFS{repo: r.repo}).read(plumbing.NewHash(hash), maxFile)
	return text, err == nil, err
}

// IsRegular reports whether an entry, as Subtrees returns it, is a regular file.
func IsRegular(entry string) bool {
	bits, _, _ := strings.Cut(entry, " ")
	m, err := filemode.New(bits)
	return err == nil && mode(m).IsRegular()
}
