package git

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// idLength is the length of a full commit id in hex digits.
const idLength = 40

// Find returns the commits whose ids start with abbreviations.
//
// The keys are the abbreviations, which must be in lower case. The commits are sorted
// by id. They need not be reachable from a branch.
func (r *Repository) Find(abbreviations []string) (map[string][]LogEntry, error) {
	ids, err := r.ids(abbreviations)
	if err != nil {
		return nil, fmt.Errorf("looking for commits in the git repository of %s: %w", r.name, err)
	}
	found := map[string][]LogEntry{}
	for _, a := range abbreviations {
		if _, done := found[a]; done {
			continue
		}
		found[a] = nil
		slices.Sort(ids[a])
		for _, id := range slices.Compact(ids[a]) {
			_, err := r.repo.Storer.EncodedObject(plumbing.CommitObject, plumbing.NewHash(id))
			if errors.Is(err, plumbing.ErrObjectNotFound) {
				continue // a file or a tree
			}
			c, err := r.read(id)
			if err != nil {
				return nil, err
			}
			found[a] = append(found[a], c)
		}
	}
	return found, nil
}

// ids returns the ids of objects, by abbreviation.
func (r *Repository) ids(abbreviations []string) (map[string][]string, error) {
	found, lengths := map[string][]string{}, map[int]bool{}
	for _, a := range abbreviations {
		if len(a) == idLength {
			found[a] = []string{a} // Find checks that it exists
			continue
		}
		if len(a) < idLength { // no id is longer
			found[a], lengths[len(a)] = nil, true
		}
	}
	if len(lengths) == 0 {
		return found, nil
	}
	var prefix []byte // that all wanted ids have
	if len(abbreviations) == 1 {
		var err error
		if prefix, err = hex.DecodeString(abbreviations[0][:len(abbreviations[0])&^1]); err != nil {
			return nil, err
		}
	}
	all, err := hashes(r.repo.Storer, prefix)
	for _, h := range all {
		id := h.String()
		for n := range lengths {
			if list, wanted := found[id[:n]]; wanted {
				found[id[:n]] = append(list, id)
			}
		}
	}
	return found, err
}

// hashes returns the hashes in a store that start with a prefix.
//
// A hash may occur twice. A store on disk also returns those of files and trees.
func hashes(store storer.EncodedObjectStorer, prefix []byte) ([]plumbing.Hash, error) {
	if disk, ok := store.(*filesystem.Storage); ok {
		return disk.HashesWithPrefix(prefix)
	}
	var all []plumbing.Hash
	list, err := store.IterEncodedObjects(plumbing.CommitObject)
	if err != nil {
		return nil, err
	}
	err = list.ForEach(func(o plumbing.EncodedObject) error {
		all = append(all, o.Hash())
		return nil
	})
	return all, err
}
