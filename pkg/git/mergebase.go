package git

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
)

// side says from which of two commits a commit can be reached.
type side uint8

const (
	left side = 1 << iota
	right
	stale // it is an ancestor of a merge base
)

// mergeBase returns a merge base of two revisions: the latest one if there are several.
//
// It walks both histories at once, the latest commits first, and ends when only
// ancestors of merge bases are left.
func (r *Repository) mergeBase(ctx context.Context, a, b string) (string, error) {
	ends, err := r.ends()
	if err != nil {
		return "", err
	}
	sides, queue := map[string]side{}, new(latestFirst)
	push := func(id string, s side) error {
		if sides[id]&s == s {
			return nil
		}
		sides[id] |= s
		c, err := r.read(id)
		if err == nil {
			heap.Push(queue, queued{c, len(sides)})
		}
		return err
	}
	for rev, s := range map[string]side{a: left, b: right} {
		id, err := r.Resolve(rev)
		if err == nil {
			err = push(id, s)
		}
		if err != nil {
			return "", err
		}
	}
	var found []string
	var cut *ShallowError
	for slices.ContainsFunc(*queue, func(q queued) bool { return sides[q.ID]&stale == 0 }) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		c := heap.Pop(queue).(queued).LogEntry
		s := sides[c.ID]
		if s == left|right {
			found = append(found, c.ID)
			s |= stale
		}
		if ends[c.ID] && len(c.Parents) > 0 {
			cut = &ShallowError{At: c.ID}
			continue
		}
		for _, id := range c.Parents {
			if err := push(id, s); err != nil {
				return "", err
			}
		}
	}
	for _, id := range found {
		if sides[id]&stale == 0 {
			return id, nil
		}
	}
	if cut != nil {
		return "", fmt.Errorf("looking for the merge base of %s and %s: %w", a, b, cut)
	}
	return "", fmt.Errorf("%s and %s have no common ancestor in the git repository of %s", a, b, r.name)
}
